//! Training of a small base model: masked diffusion on fixed-length rows.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use burn::tensor::Device;
use conjoint_corpus::{Corpus, Domain};

use crate::TrainError;
use crate::checkpoint::{self, Precision};
use crate::config::{DreamConfig, check};
use crate::dream::DreamModule;
use crate::masked_diffusion::MaskedDiffusion;
use crate::options::RunOptions;
use crate::params;
use crate::tokenizer::CharTokenizer;
use crate::trainer::{self, RunSummary};
use crate::window::Window;

/// The first row that is held out for validation; training never comes this far.
pub const HELD_OUT: u64 = 1 << 40;

/// A source of training rows.
///
/// Any `Fn(u64) -> Result<Vec<u32>, TrainError>` is one.
pub trait RowSource: Sync {
    /// Row `index`, `[T]` ids, the prompt first and filled up with the end token. The same index gives the
    /// same row; rows from [`HELD_OUT`] on are only validated on.
    ///
    /// # Errors
    ///
    /// The row cannot be made.
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError>;
}

impl<F: Fn(u64) -> Result<Vec<u32>, TrainError> + Sync> RowSource for F {
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        self(index)
    }
}

/// Sizes and budget of a base model.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseOptions {
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// F, the inner width of the feed-forward network.
    pub intermediate_size: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// θ of the rotary embedding.
    pub rope_theta: f64,
    /// T, the length of a row.
    pub length: usize,
    /// Tokens at the start of a row that are never masked.
    pub prompt: usize,
    /// The first share of the run, in which rows are masked up to `early_limit` only: lightly masked
    /// rows teach copying.
    pub early_share: f64,
    /// The share of a row that is masked at most early in the run.
    pub early_limit: f64,
    /// The share of each batch whose rows are unmasked from step to step in the model's own order, instead of
    /// masked at random: they look as in decoding (PUMA, arXiv 2602.10314).
    pub progressive_share: f64,
    /// Each of those rows is trained on in one step of so many, in turn with others: in successive steps the same
    /// texts would bend the weights towards themselves.
    pub progressive_turns: usize,
    /// The masked positions of those rows that count most, next to the mean over all.
    pub window: Window,
    /// The domains of the texts that [`train_base`] makes; one named twice is drawn twice as often.
    pub domains: Vec<Domain>,
    /// Held-out rows for each validated level.
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
            length: 48,
            prompt: 1,
            early_share: 1.0 / 3.0,
            early_limit: 0.6,
            progressive_share: 0.0,
            progressive_turns: 1,
            window: Window::default(),
            domains: Domain::ALL.to_vec(),
            validation_rows: 128,
            precision: Precision::F32,
            run: RunOptions::default(),
        }
    }
}

impl BaseOptions {
    /// The defaults, with the sizes of the checkpoint whose weights are in the file `init`, and a run that starts
    /// from them.
    ///
    /// # Errors
    ///
    /// There is no readable `config.json` beside the file.
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
            run: RunOptions { init: Some(init.to_owned()), ..default.run.clone() },
            ..default
        })
    }

    /// The configuration of the model for `tokenizer`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] names the first value that cannot work.
    pub fn config(&self, tokenizer: &CharTokenizer) -> Result<DreamConfig, TrainError> {
        check(
            self.prompt < self.length,
            "prompt",
            self.prompt,
            format!("below the length of {}", self.length),
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
            qkv_bias: true,
        };
        config.validate()?;
        Ok(config)
    }
}

/// Trains a base model on the texts of [`Corpus`], each a tag, the body's characters and end tokens;
/// see [`train_on`].
///
/// # Errors
///
/// As [`train_on`].
pub fn train_base(options: &BaseOptions) -> Result<RunSummary, TrainError> {
    let tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
    let tokenizer = CharTokenizer::new(Corpus::alphabet(), &tags)?;
    train_on(&texts(&tokenizer, options)?, &tokenizer, options)
}

/// The texts of the corpus as rows. Each domain counts once in those held out, however often it is trained on.
fn texts(tokenizer: &CharTokenizer, options: &BaseOptions) -> Result<impl RowSource, TrainError> {
    let of = |domains: &[Domain]| {
        let corpus = Corpus::new(options.run.seed).with_domains(domains);
        let (got, expected) = ("none".to_owned(), "at least one".to_owned());
        corpus.map_err(|_| TrainError::Invalid { name: "domains", got, expected })
    };
    let each: BTreeSet<Domain> = options.domains.iter().copied().collect();
    let (training, held_out) = (of(&options.domains)?, of(&Vec::from_iter(each))?);
    Ok(move |index| {
        let corpus = if index < HELD_OUT { &training } else { &held_out };
        let mut row = tokenizer.encode(&corpus.text(index).to_string())?;
        row.resize(options.length.max(row.len()), tokenizer.eos());
        Ok(row)
    })
}

/// Trains a base model on `rows`, or continues the run in `options.run.dir`.
///
/// The run's folder becomes a Dream checkpoint: `config.json`, `model.safetensors` (the averaged
/// weights) and `tokenizer.json`, rewritten at each checkpoint, beside `log.jsonl`, `loss.svg` and
/// `checkpoint/`.
///
/// The loss of a row with n masked tokens is their mean negative log likelihood, in nats; n is
/// uniform on 1..=T − prompt, stratified over the batch. A share of the rows
/// ([`BaseOptions::progressive_share`]) is unmasked from step to step instead, and weighed by
/// [`BaseOptions::window`].
///
/// # Errors
///
/// An option cannot work, a row is unusable, the loss diverges, or a file cannot be read or written.
pub fn train_on(
    rows: &impl RowSource,
    tokenizer: &CharTokenizer,
    options: &BaseOptions,
) -> Result<RunSummary, TrainError> {
    let config = options.config(tokenizer)?;
    let devices = options.run.device.all()?;
    let device = devices.first.clone().autodiff();
    let model = match &options.run.init {
        Some(weights) => started_from(weights, &config, tokenizer, &device)?,
        None => params::init(DreamModule::tied(&config, &device), options.run.seed),
    };
    let objective = MaskedDiffusion::new(rows, tokenizer, options, config);
    trainer::train(model, &objective, &options.run, &devices)
}

/// The model in the file `weights` of a checkpoint of these sizes and tokens.
fn started_from(
    weights: &Path,
    config: &DreamConfig,
    tokenizer: &CharTokenizer,
    device: &Device,
) -> Result<DreamModule, TrainError> {
    let named = weights.file_name().is_some_and(|name| name == "model.safetensors");
    let expected = "a checkpoint's model.safetensors";
    check(named, "init", weights.display(), expected)?;
    let dir = weights.parent().unwrap_or(Path::new(""));
    let model = checkpoint::load_tied(dir, device)?;
    let its = model.config();
    let sizes = [
        ("vocab_size", its.vocab_size, config.vocab_size),
        ("hidden_size", its.hidden_size, config.hidden_size),
        ("intermediate_size", its.intermediate_size, config.intermediate_size),
        ("num_hidden_layers", its.num_hidden_layers, config.num_hidden_layers),
        ("num_attention_heads", its.num_attention_heads, config.num_attention_heads),
        ("num_key_value_heads", its.num_key_value_heads, config.num_key_value_heads),
    ];
    let other = |name: &str, its: &dyn Display, ours: &dyn Display| {
        let reason = format!("{name} is {its}, and this run's {ours}");
        TrainError::malformed(dir.join("config.json"), reason)
    };
    if let Some((name, its, ours)) = sizes.iter().find(|(_, its, ours)| its != ours) {
        return Err(other(name, its, ours));
    }
    if its.rope_theta != config.rope_theta {
        return Err(other("rope_theta", &its.rope_theta, &config.rope_theta));
    }
    let its = CharTokenizer::load(&dir.join("tokenizer.json"))?;
    if its.to_json()? != tokenizer.to_json()? {
        let reason = "it has other tokens than this run";
        return Err(TrainError::malformed(dir.join("tokenizer.json"), reason));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{letter_tokenizer, letters, losses, tiny_run};
    use crate::trainer::Objective;

    #[test]
    fn copying_is_learnt() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tiny_run(dir.path(), 500);
        options.run.batch = 16;
        let summary = train_on(&letters, &letter_tokenizer(), &options).unwrap();
        // Guessing costs ln 4 = 1.39; one masked token of eight is implied by its twin.
        let loss = summary.validation["masked 10 %"];
        assert!(loss < 0.7, "{loss}");
        assert!(summary.validation["masked 90 %"] > 0.9);
        let curve = losses(dir.path());
        assert!(curve[490..].iter().sum::<f64>() < 0.9 * curve[..10].iter().sum::<f64>());
    }

    #[test]
    fn copying_is_learnt_on_the_way_of_decoding() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BaseOptions { progressive_share: 1.0, ..tiny_run(dir.path(), 500) };
        options.run.batch = 16;
        train_on(&letters, &letter_tokenizer(), &options).unwrap();
        // Of a row that is revealed one by one, half the tokens are implied by those before them.
        let curve = losses(dir.path());
        let (first, last) = (curve[..10].iter().sum::<f64>(), curve[400..].iter().sum::<f64>());
        assert!(last / 100.0 < 0.8 * first / 10.0, "{} {}", first / 10.0, last / 100.0);
    }

    #[test]
    fn the_run_folder_is_a_checkpoint_of_the_averaged_weights() {
        let dir = tempfile::tempdir().unwrap();
        let summary = train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 30)).unwrap();
        let options = tiny_run(dir.path(), 30);
        let config = options.config(&letter_tokenizer()).unwrap();
        let model = checkpoint::load(dir.path(), &Device::default()).unwrap();
        let tokenizer = CharTokenizer::load(&dir.path().join("tokenizer.json")).unwrap();
        let objective = MaskedDiffusion::new(&letters, &tokenizer, &options, config);
        for (name, value) in objective.validate(&model).unwrap() {
            assert!((value - summary.validation[&name]).abs() < 1e-4);
        }
    }

    #[test]
    fn the_corpus_is_trained_on_end_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { length: 48, prompt: 1, ..tiny_run(dir.path(), 2) };
        let summary = train_base(&options).unwrap();
        assert_eq!((summary.steps, summary.tokens), (2, 2 * 6 * 48));
        let tokenizer = CharTokenizer::load(&dir.path().join("tokenizer.json")).unwrap();
        let config = checkpoint::load_config(dir.path()).unwrap();
        assert_eq!(config, options.config(&tokenizer).unwrap());
    }

    #[test]
    fn a_run_starts_from_the_weights_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let before = train_on(&letters, &letter_tokenizer(), &tiny_run(&first, 60)).unwrap();
        let weights = first.join("model.safetensors");
        let from = |file: &Path, steps| {
            let mut options = tiny_run(&second, steps);
            options.run.init = Some(file.to_owned());
            options.run.optimizer.muon_rate = 1e-6;
            options.run.optimizer.adamw_rate = 1e-6;
            options
        };
        let run = |options| train_on(&letters, &letter_tokenizer(), &options);
        let after = run(from(&weights, 1)).unwrap();
        for (name, value) in &before.validation {
            assert!((value - after.validation[name]).abs() < 1e-3, "{name}");
        }
        // A run that was started from one file goes on with no other, nor with none.
        assert_eq!(run(from(&weights, 2)).unwrap().steps, 2);
        let other = run(tiny_run(&second, 3));
        assert!(matches!(other, Err(TrainError::OtherOptions { name, .. }) if name == "init"));
        let refused = |options| run(options).unwrap_err().to_string();
        let wider = BaseOptions { intermediate_size: 40, ..from(&weights, 3) };
        assert!(refused(wider).contains("intermediate_size is 24, and this run's 40"));
        assert!(refused(from(&first, 3)).contains("a checkpoint's model.safetensors"));
        let letters = CharTokenizer::new("abce", &[]).unwrap();
        letters.save(&first.join("tokenizer.json")).unwrap();
        assert!(refused(from(&weights, 3)).contains("other tokens"));
    }

    #[test]
    fn texts_that_are_too_long_for_the_rows_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { length: 20, prompt: 1, ..tiny_run(dir.path(), 2) };
        assert!(matches!(train_base(&options), Err(TrainError::Row { .. })));
    }

    #[test]
    fn only_the_domains_asked_for_are_trained_on_and_each_is_held_out_once() {
        let tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        let tokenizer = CharTokenizer::new(Corpus::alphabet(), &tags).unwrap();
        let count = |domains: &[Domain], domain: Domain, first: u64| {
            let options = BaseOptions { domains: domains.to_vec(), ..BaseOptions::default() };
            let rows = texts(&tokenizer, &options).unwrap();
            let tag = tokenizer.encode(domain.tag()).unwrap()[0];
            (first..first + 400).filter(|&i| rows.row(i).unwrap()[0] == tag).count()
        };
        let domains = [Domain::List, Domain::Code, Domain::List, Domain::List];
        assert_eq!(count(&domains, Domain::Math, 0) + count(&domains, Domain::Math, HELD_OUT), 0);
        // Means of 300 and 200; standard deviations of 9 and 10.
        assert!(count(&domains, Domain::List, 0).abs_diff(300) < 45);
        assert!(count(&domains, Domain::List, HELD_OUT).abs_diff(200) < 50);
        let none = BaseOptions { domains: vec![], ..BaseOptions::default() };
        assert!(matches!(train_base(&none), Err(TrainError::Invalid { name: "domains", .. })));
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |options: BaseOptions| match train_on(&letters, &letter_tokenizer(), &options)
        {
            Err(TrainError::Invalid { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        let good = || tiny_run(dir.path(), 1);
        let run = |run: RunOptions| BaseOptions { run, ..good() };
        assert_eq!(refused(BaseOptions { prompt: 8, ..good() }), "prompt");
        assert_eq!(refused(BaseOptions { progressive_share: 1.5, ..good() }), "progressive_share");
        assert_eq!(refused(BaseOptions { progressive_turns: 0, ..good() }), "progressive_turns");
        let window = Window { rows: Some(0), share: 0.5 };
        assert_eq!(refused(BaseOptions { window, ..good() }), "window");
        assert_eq!(refused(BaseOptions { heads: 3, ..good() }), "hidden_size");
        assert_eq!(refused(run(RunOptions { max_steps: None, ..good().run })), "max_steps");
        assert_eq!(refused(run(RunOptions { workers: 7, ..good().run })), "workers");
        assert_eq!(refused(run(RunOptions { average_decay: 1.0, ..good().run })), "average_decay");
        let short = |_: u64| Ok(vec![2; 7]);
        assert!(matches!(
            train_on(&short, &letter_tokenizer(), &good()),
            Err(TrainError::Row { .. })
        ));
    }
}
