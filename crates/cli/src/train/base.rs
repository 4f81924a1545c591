//! `conjoint train base`.

use anyhow::Result;
use clap::Args;
use conjoint_train::base::{RowForm, TextSource};
use conjoint_train::{BaseOptions, Window, train_base};

use super::run::{RunArguments, report};
use super::texts::TextArguments;
use crate::flag::{InvalidArgument, with_flag};
use crate::numbers::{count, positive, share};

/// Train a small masked diffusion model on a file of texts, or on the built-in corpus
///
/// Writes a Dream checkpoint (config.json, model.safetensors, tokenizer.json, tokenizer_config.json) that `conjoint export` reads.
///
/// A file of texts needs a tokenizer. Each epoch trains once on every text, in an order that depends on the seed:
///
///     conjoint train base --texts train.txt --tokenizer tokenizer.json --length 64 --given-end --dir base --minutes 60
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct BaseArguments {
    #[command(flatten)]
    run: RunArguments,
    #[command(flatten)]
    texts: TextArguments,
    /// T: largest length of a row, end tokens included [default: 48, or with --init the largest length of its model]
    #[arg(long, value_name = "T", value_parser = count::<2, 1048576>)]
    length: Option<usize>,
    /// Fill each row with several texts, one after the other, each with its end token; the last one is cut at --length
    /// [default: one text per row, padded with end tokens]
    #[arg(long)]
    packed: bool,
    /// Give the end of each text: a row is one text and one end token, which is never masked. The model then decodes canvases of
    /// the same form, such as --infill '[MASK*20]<eos>', whose length is chosen beforehand. Rows have different lengths, so that no
    /// time is spent on padding
    #[arg(long, conflicts_with = "packed")]
    given_end: bool,
    /// Tokens at the start of each row that are never masked [default: 1, the tag of a text of the corpus; 0 with --texts]
    #[arg(long, value_name = "N", value_parser = count::<0, 1048576>)]
    prompt_length: Option<usize>,
    /// Rows for validation, at each of three masking levels [default: 128]
    #[arg(long, value_name = "N", value_parser = count::<1, 1048576>)]
    validation_rows: Option<usize>,
    /// D: width of the hidden states [default: 160. With --init, all sizes default to those of its model]
    #[arg(long, value_name = "D", value_parser = count::<2, 65536>)]
    hidden: Option<usize>,
    /// Number of decoder layers [default: 5]
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    layers: Option<usize>,
    /// F: inner width of the feed-forward blocks [default: 448]
    #[arg(long, value_name = "F", value_parser = count::<1, 262144>)]
    ffn: Option<usize>,
    /// Number of query heads [default: 4]
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    heads: Option<usize>,
    /// Number of key and value heads [default: 4]
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    kv_heads: Option<usize>,
    /// θ of the rotary embedding; short texts need a small one [default: 30]
    #[arg(long, value_name = "THETA", value_parser = positive)]
    rope_theta: Option<f64>,
    /// Share of the run, at its beginning, in which rows are lightly masked [default: 1/3]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    early_share: Option<f64>,
    /// Largest masked share of a row in that part of the run [default: 0.6]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    early_limit: Option<f64>,
    /// Share of a batch whose rows are unmasked step by step in the model's own order, as in decoding, instead of masked at
    /// random (PUMA, arXiv 2602.10314) [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    progressive_share: Option<f64>,
    /// Train on each row of --progressive-share only in every N-th step, so that successive steps have different texts
    /// [default: 1]
    #[arg(long, value_name = "N", value_parser = count::<1, 65536>, requires = "progressive_share")]
    progressive_turns: Option<usize>,
    /// Give more weight to the M masked positions of those rows that are revealed next: those of lowest entropy [default: equal
    /// weights]
    #[arg(long, value_name = "M", value_parser = count::<1, 65536>, requires = "progressive_share")]
    window: Option<usize>,
    /// Share of a row's weight for the window; the rest is spread over all masked positions
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share, requires = "window")]
    window_share: f64,
    /// Share of a batch whose rows are masked as in decoding in blocks: what precedes a random block is visible, what follows it is
    /// masked, and the block is masked at random. The model is then at its best with `generate --block-length B`, and still fills
    /// holes [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "block_length")]
    block_share: Option<f64>,
    /// B: length of those blocks, counted from the end of the prompt
    #[arg(long, value_name = "B", value_parser = count::<1, 1048576>, requires = "block_share")]
    block_length: Option<usize>,
    /// Train a next-token predictor under a causal mask, which learns much faster per text. Continue with masked diffusion:
    /// --init OTHER_DIR/model.safetensors in another --dir
    #[arg(long, conflicts_with_all = ["progressive_share", "block_share", "early_share", "early_limit"])]
    next_token: bool,
    /// Train a block-causal model (BD3-LM, SDAR): a position attends to its own block of B positions and to earlier blocks. Every
    /// block of a row is trained at once, and keys and values of finished blocks can be cached without loss. `generate` decodes it in
    /// these blocks [default: full attention, or with --init the blocks of its model]
    #[arg(long, value_name = "B", value_parser = count::<1, 1048576>,
          conflicts_with_all = ["given_end", "next_token", "progressive_share", "block_share", "early_share", "early_limit"])]
    attention_block: Option<usize>,
}

pub fn run(arguments: &BaseArguments) -> Result<()> {
    let default = match &arguments.run.init {
        None => BaseOptions::default(),
        Some(weights) => {
            with_flag("--init", weights.display(), BaseOptions::from_weights(weights))?
        }
    };
    let texts = arguments.texts.source();
    let prompt = match texts {
        TextSource::Corpus(_) => default.prompt,
        TextSource::File(_) => 0,
    };
    let options = BaseOptions {
        texts,
        form: match (arguments.packed, arguments.given_end) {
            (true, _) => RowForm::Packed,
            (_, true) => RowForm::GivenEnd,
            _ => default.form,
        },
        length: arguments.length.unwrap_or(default.length),
        prompt: arguments.prompt_length.unwrap_or(prompt),
        validation_rows: arguments.validation_rows.unwrap_or(default.validation_rows),
        hidden_size: arguments.hidden.unwrap_or(default.hidden_size),
        layers: arguments.layers.unwrap_or(default.layers),
        intermediate_size: arguments.ffn.unwrap_or(default.intermediate_size),
        heads: arguments.heads.unwrap_or(default.heads),
        kv_heads: arguments.kv_heads.unwrap_or(default.kv_heads),
        rope_theta: arguments.rope_theta.unwrap_or(default.rope_theta),
        early_share: arguments.early_share.unwrap_or(default.early_share),
        early_limit: arguments.early_limit.unwrap_or(default.early_limit),
        progressive_share: arguments.progressive_share.unwrap_or(default.progressive_share),
        progressive_turns: arguments.progressive_turns.unwrap_or(default.progressive_turns),
        block_share: arguments.block_share.unwrap_or(default.block_share),
        block_length: arguments.block_length.unwrap_or(default.block_length),
        next_token: arguments.next_token,
        attention_block: arguments.attention_block.or(default.attention_block),
        window: Window { rows: arguments.window, share: arguments.window_share },
        precision: arguments.run.precision(),
        run: arguments.run.options(default.run)?,
    };
    check_heads(&options)?;
    report(&train_base(&options).map_err(|error| arguments.texts.with_flag(error))?)
}

/// Rejects numbers of heads that do not divide the width or each other.
fn check_heads(options: &BaseOptions) -> Result<(), InvalidArgument> {
    let BaseOptions { hidden_size, heads, kv_heads, .. } = *options;
    if !hidden_size.is_multiple_of(2 * heads) {
        let reason = format!("the width must be a multiple of 2 × heads ({})", 2 * heads);
        let (heads, hidden) = (("--heads", heads), ("--hidden", hidden_size));
        return Err(InvalidArgument::pair(heads, hidden, reason));
    }
    if !heads.is_multiple_of(kv_heads) {
        let reason = "the number of query heads must be a multiple of the key and value heads";
        return Err(InvalidArgument::pair(("--kv-heads", kv_heads), ("--heads", heads), reason));
    }
    Ok(())
}
