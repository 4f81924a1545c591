//! The options of a base model.

use std::path::Path;

use conjoint_corpus::Domain;

use super::row_form::RowForm;
use super::texts::TextSource;
use super::tokenizer::TextTokenizer;
use crate::error::{TrainError, check};
use crate::masking::Window;
use crate::model::{DreamConfig, Precision, checkpoint};
use crate::run::RunOptions;

/// Sizes, masking and budget of a base model.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseOptions {
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// The number of decoder layers.
    pub layers: usize,
    /// F, the inner width of the feed-forward network.
    pub intermediate_size: usize,
    /// The number of query heads.
    pub heads: usize,
    /// The number of key and value heads.
    pub kv_heads: usize,
    /// θ of the rotary embedding.
    pub rope_theta: f64,
    /// The texts of [`train_base`](super::train_base).
    pub texts: TextSource,
    /// How the texts fill rows.
    pub form: RowForm,
    /// T, the largest length of a row.
    pub length: usize,
    /// The number of tokens at the start of a row that are never masked, such as 1 for the tag of the corpus's texts.
    pub prompt: usize,
    /// The first share of the run, in which at most `early_limit` of a row is masked. Lightly masked rows teach copying.
    pub early_share: f64,
    /// The largest masked share of a row early in the run.
    pub early_limit: f64,
    /// The share of each batch whose rows are unmasked progressively, from step to step in the model's own order, instead
    /// of being masked at random. Their masks resemble those of decoding (PUMA, arXiv 2602.10314).
    #[doc(alias = "PUMA")]
    pub progressive_share: f64,
    /// N: each progressive row takes part in one step out of N. The rows of successive steps then differ, which keeps the
    /// weights from overfitting to them.
    pub progressive_turns: usize,
    /// The weights of a progressive row's masked positions.
    pub window: Window,
    /// The share of each batch whose rows are masked as in decoding in blocks: what precedes a random block is visible, what
    /// follows it is masked, and the block is masked at random. Its tokens alone are predicted.
    #[doc(alias = "block diffusion")]
    #[doc(alias = "semi-autoregressive")]
    pub block_share: f64,
    /// B, the length of these blocks. They count from the end of the prompt, as those of a generator.
    pub block_length: usize,
    /// Trains a next-token predictor under a causal mask instead, on unmasked rows. Dream's shift makes its weights a start
    /// for masked diffusion ([`RunOptions::init`]), as Dream's own were (arXiv 2508.15487). It learns from every token of a
    /// row, so that it learns much faster per row.
    #[doc(alias = "autoregressive")]
    pub next_token: bool,
    /// B: trains a block-causal model instead, as BD3-LM (arXiv 2503.09573) and SDAR. A position attends to its own block of B
    /// positions and to earlier blocks, and its logits are not shifted. Each row is computed twice, and every block of it is
    /// trained. Rows are padded or packed: earlier blocks do not see a given end.
    #[doc(alias = "block_size")]
    #[doc(alias = "bd3lm")]
    pub attention_block: Option<usize>,
    /// The number of held-out rows per validated masking level.
    pub validation_rows: usize,
    /// The number format of the saved weights.
    pub precision: Precision,
    /// Budget, folder, batch and learning rates.
    pub run: RunOptions,
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self {
            hidden_size: 160,
            layers: 5,
            intermediate_size: 448,
            heads: 4,
            kv_heads: 4,
            rope_theta: 30.0,
            texts: TextSource::Corpus(Domain::ALL.to_vec()),
            form: RowForm::default(),
            length: 48,
            prompt: 1,
            early_share: 1.0 / 3.0,
            early_limit: 0.6,
            progressive_share: 0.0,
            progressive_turns: 1,
            window: Window::default(),
            block_share: 0.0,
            block_length: 32,
            next_token: false,
            attention_block: None,
            validation_rows: 128,
            precision: Precision::F32,
            run: RunOptions::default(),
        }
    }
}

impl BaseOptions {
    /// Default options for a run that starts from the weights in the file `init`, with the sizes of their checkpoint.
    ///
    /// # Errors
    ///
    /// The `config.json` beside the file cannot be read.
    pub fn from_weights(init: &Path) -> Result<Self, TrainError> {
        let config = checkpoint::load_config(init.parent().unwrap_or(Path::new("")))?;
        let default = Self::default();
        Ok(Self {
            hidden_size: config.hidden_size,
            layers: config.num_hidden_layers,
            intermediate_size: config.intermediate_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            rope_theta: config.rope_theta,
            length: config.max_position_embeddings,
            attention_block: config.block_size,
            run: RunOptions { init: Some(init.to_owned()), ..default.run.clone() },
            ..default
        })
    }

    /// The model's configuration for `tokenizer`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] names the first unusable value.
    pub fn config(&self, tokenizer: &TextTokenizer) -> Result<DreamConfig, TrainError> {
        let most = self.length.saturating_sub(self.form.given());
        check(
            self.prompt < most,
            "prompt",
            self.prompt,
            format!("below {most}, so that a row of length {} has a position to mask", self.length),
        )?;
        check(
            self.early_limit > 0.0 && self.early_limit <= 1.0,
            "early_limit",
            self.early_limit,
            "in (0, 1]",
        )?;
        check(
            (0.0..=1.0).contains(&self.progressive_share),
            "progressive_share",
            self.progressive_share,
            "in [0, 1]",
        )?;
        let turns = self.progressive_turns;
        check((1..=65536).contains(&turns), "progressive_turns", turns, "from 1 to 65536")?;
        self.window.validate()?;
        let left = 1.0 - self.progressive_share;
        let expected = "at least 0, and with progressive_share at most 1";
        check(
            (0.0..=left + 1e-9).contains(&self.block_share),
            "block_share",
            self.block_share,
            expected,
        )?;
        check(self.block_length > 0, "block_length", self.block_length, "at least 1")?;
        let shares = self.progressive_share + self.block_share;
        let expected =
            "no progressive_share or block_share: a next-token predictor has no masked rows";
        check(!self.next_token || shares == 0.0, "next_token", true, expected)?;
        check(
            !self.next_token || most > 1,
            "length",
            self.length,
            "room for a token after the first",
        )?;
        if let Some(block) = self.attention_block {
            let name = "attention_block";
            check(block > 0, name, block, "at least 1")?;
            let expected = "no progressive_share, block_share or next_token: every block of a block-causal model is masked at random";
            check(shares == 0.0 && !self.next_token, name, block, expected)?;
            let expected = "padded or packed rows: earlier blocks do not see a given end";
            check(self.form != RowForm::GivenEnd, name, block, expected)?;
        }
        check(self.validation_rows > 0, "validation_rows", self.validation_rows, "at least 1")?;
        let config = DreamConfig {
            vocab_size: tokenizer.model_vocab_size(),
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            rms_norm_eps: 1e-6,
            rope_theta: self.rope_theta,
            max_position_embeddings: self.length,
            mask_token_id: tokenizer.mask(),
            eos_token_id: tokenizer.eos(),
            pad_token_id: tokenizer.eos(),
            bos_token_id: tokenizer.eos(),
            tie_word_embeddings: false,
            block_size: self.attention_block,
            qkv_bias: true,
        };
        config.validate()?;
        Ok(config)
    }
}
