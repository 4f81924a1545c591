//! Runs the training of a base model.

use std::fmt::Display;
use std::path::Path;

use burn::tensor::Device;

use super::block_diffusion::BlockDiffusion;
use super::data::Data;
use super::next_token::NextToken;
use super::objective::MaskedDiffusion;
use super::options::BaseOptions;
use super::rows::{RowSource, TextRows};
use super::tokenizer::TextTokenizer;
use crate::error::{TrainError, check};
use crate::model::{DreamConfig, DreamModule, checkpoint, init};
use crate::run::{RunSummary, train};

/// Trains a base model on the texts of [`BaseOptions::texts`], or resumes the run in `options.run.dir`.
///
/// [`BaseOptions::form`] decides how the texts fill rows. See [`train_on`] for the files and the loss.
///
/// # Errors
///
/// As [`train_on`]; or a file of texts or its tokenizer is unusable.
#[doc(alias = "pretraining")]
#[doc(alias = "MDLM")]
pub fn train_base(options: &BaseOptions) -> Result<RunSummary, TrainError> {
    let tokenizer = options.texts.tokenizer()?;
    // Encoding a large file takes time, so options are checked first.
    options.config(&tokenizer)?;
    options.run.validate()?;
    train_on(&TextRows::new(&tokenizer, options)?, &tokenizer, options)
}

/// Trains a base model on `rows`, or resumes the run in `options.run.dir`.
///
/// The run's folder becomes a Dream checkpoint: `config.json`, `model.safetensors` (the averaged weights),
/// `tokenizer.json` and `tokenizer_config.json`, rewritten at each checkpoint. It also holds `log.jsonl`, `loss.svg` and `checkpoint/`.
///
/// The loss of a row with n masked tokens is their mean negative log-likelihood, in nats. The number n is uniform
/// from 1 to the number of tokens that may be masked: those after the prompt, and before a given end
/// ([`RowForm::GivenEnd`](super::RowForm::GivenEnd)). It is stratified over the batch. A share of the rows ([`BaseOptions::progressive_share`]) is unmasked from
/// step to step instead, and weighted by [`BaseOptions::window`]. With [`BaseOptions::attention_block`], each block of a row is masked
/// in this way, and the loss is the bound on the negative log-likelihood of a token.
///
/// # Errors
///
/// An option or a row is unusable, the loss diverges, or a file cannot be read or written.
pub fn train_on(
    rows: &impl RowSource,
    tokenizer: &TextTokenizer,
    options: &BaseOptions,
) -> Result<RunSummary, TrainError> {
    let config = options.config(tokenizer)?;
    let devices = options.run.device.all()?;
    let device = devices.first.clone().autodiff();
    let model = match &options.run.init {
        Some(weights) => started_from(weights, &config, tokenizer, &device)?,
        None => init(DreamModule::tied(&config, &device), options.run.seed),
    };
    let data = Data::new(rows, tokenizer, options, config)?;
    if let Some(block) = options.attention_block {
        return train(model, &BlockDiffusion::new(data, block), &options.run, &devices);
    }
    if options.next_token {
        return train(model, &NextToken(data), &options.run, &devices);
    }
    train(model, &MaskedDiffusion::new(data), &options.run, &devices)
}

/// Loads the model in the file `weights`, whose checkpoint must have the sizes and tokens of this run.
fn started_from(
    weights: &Path,
    config: &DreamConfig,
    tokenizer: &TextTokenizer,
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
        let reason = format!("{name} is {its}, expected {ours} as in this run");
        TrainError::malformed(dir.join("config.json"), reason)
    };
    if let Some((name, its, ours)) = sizes.iter().find(|(_, its, ours)| its != ours) {
        return Err(other(name, its, ours));
    }
    if its.rope_theta != config.rope_theta {
        return Err(other("rope_theta", &its.rope_theta, &config.rope_theta));
    }
    let ids = [
        ("mask_token_id", its.mask_token_id, config.mask_token_id),
        ("eos_token_id", its.eos_token_id, config.eos_token_id),
    ];
    if let Some((name, its, ours)) = ids.iter().find(|(_, its, ours)| its != ours) {
        return Err(other(name, its, ours));
    }
    let path = dir.join("tokenizer.json");
    if !tokenizer.equals(&path)? {
        let reason = "its tokens differ from those of this run";
        return Err(TrainError::malformed(path, reason));
    }
    Ok(model.with_rows_of(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RowForm;
    use crate::base::testing::{letter_tokenizer, letters, losses, tiny_run};
    use crate::masking::Window;
    use crate::run::{Objective, RunOptions};

    #[test]
    fn the_model_learns_to_copy() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tiny_run(dir.path(), 500);
        options.run.batch = 16;
        let summary = train_on(&letters, &letter_tokenizer(), &options).unwrap();
        // A uniform guess costs ln 4 = 1.39 nats; the twin of a masked token implies it.
        let loss = summary.validation["masked 10 %"];
        assert!(loss < 0.7, "{loss}");
        assert!(summary.validation["masked 90 %"] > 0.9);
        let curve = losses(dir.path());
        assert!(curve[490..].iter().sum::<f64>() < 0.9 * curve[..10].iter().sum::<f64>());
    }

    #[test]
    fn the_model_learns_to_copy_from_progressive_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BaseOptions { progressive_share: 1.0, ..tiny_run(dir.path(), 500) };
        options.run.batch = 16;
        train_on(&letters, &letter_tokenizer(), &options).unwrap();
        // In a row that is revealed one by one, earlier tokens imply half of the others.
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
        let path = dir.path().join("tokenizer.json");
        let tokenizer = TextTokenizer::load(&path, None, None).unwrap();
        let data = Data::new(&letters, &tokenizer, &options, config).unwrap();
        let objective = MaskedDiffusion::new(data);
        for (name, value) in objective.validate(&model).unwrap() {
            assert!((value - summary.validation[&name]).abs() < 1e-4);
        }
    }

    #[test]
    fn train_base_writes_a_checkpoint_for_the_corpus() {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { length: 48, prompt: 1, ..tiny_run(dir.path(), 2) };
        let summary = train_base(&options).unwrap();
        assert_eq!((summary.steps, summary.tokens), (2, 2 * 6 * 48));
        let path = dir.path().join("tokenizer.json");
        let tokenizer = TextTokenizer::load(&path, None, None).unwrap();
        let config = checkpoint::load_config(dir.path()).unwrap();
        assert_eq!(config, options.config(&tokenizer).unwrap());
    }

    #[test]
    fn a_run_on_longer_rows_than_those_of_its_first_weights_writes_their_length() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        train_base(&BaseOptions { length: 48, prompt: 1, ..tiny_run(&first, 1) }).unwrap();
        let mut longer =
            BaseOptions { length: 100, form: RowForm::Packed, prompt: 1, ..tiny_run(&second, 1) };
        longer.run.init = Some(first.join("model.safetensors"));
        assert_eq!(train_base(&longer).unwrap().tokens, 6 * 100);
        assert_eq!(checkpoint::load_config(&second).unwrap().max_position_embeddings, 100);
    }

    #[test]
    fn a_packed_run_resumes_with_packed_rows_only() {
        let dir = tempfile::tempdir().unwrap();
        let run = |form, steps| {
            train_base(&BaseOptions { length: 48, form, prompt: 1, ..tiny_run(dir.path(), steps) })
        };
        run(RowForm::Packed, 2).unwrap();
        assert_eq!(run(RowForm::Packed, 3).unwrap().steps, 3);
        match run(RowForm::Padded, 4) {
            Err(TrainError::OtherOptions { name, old, new, .. }) => {
                assert_eq!((&*name, &*old, &*new), ("packed", "true", "none"));
            }
            other => panic!("{other:?}"),
        }
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
        // A run resumes with the file of weights that it started from only.
        assert_eq!(run(from(&weights, 2)).unwrap().steps, 2);
        let other = run(tiny_run(&second, 3));
        assert!(matches!(other, Err(TrainError::OtherOptions { name, .. }) if name == "init"));
        let rejected = |options| run(options).unwrap_err().to_string();
        let wider = BaseOptions { intermediate_size: 40, ..from(&weights, 3) };
        assert!(rejected(wider).contains("intermediate_size is 24, expected 40"));
        assert!(rejected(from(&first, 3)).contains("a checkpoint's model.safetensors"));
        let letters = TextTokenizer::of_characters("abce", &[]).unwrap();
        letters.save(&first).unwrap();
        assert!(rejected(from(&weights, 3)).contains("its tokens differ"));
    }

    #[test]
    fn texts_that_are_longer_than_a_row_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let options = BaseOptions { length: 20, prompt: 1, ..tiny_run(dir.path(), 2) };
        assert!(matches!(train_base(&options), Err(TrainError::Row { .. })));
    }

    #[test]
    fn unusable_options_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let rejected =
            |options: BaseOptions| match train_on(&letters, &letter_tokenizer(), &options) {
                Err(TrainError::Invalid { name, .. }) => name,
                other => panic!("{other:?}"),
            };
        let good = || tiny_run(dir.path(), 1);
        let run = |run: RunOptions| BaseOptions { run, ..good() };
        assert_eq!(rejected(BaseOptions { prompt: 8, ..good() }), "prompt");
        assert_eq!(rejected(BaseOptions { progressive_share: 1.5, ..good() }), "progressive_share");
        assert_eq!(rejected(BaseOptions { progressive_turns: 0, ..good() }), "progressive_turns");
        let shares = BaseOptions { progressive_share: 0.5, block_share: 0.6, ..good() };
        assert_eq!(rejected(shares), "block_share");
        assert_eq!(rejected(BaseOptions { block_length: 0, ..good() }), "block_length");
        let mixed = BaseOptions { next_token: true, block_share: 0.5, ..good() };
        assert_eq!(rejected(mixed), "next_token");
        assert_eq!(rejected(BaseOptions { next_token: true, length: 1, ..good() }), "length");
        let window = Window { rows: Some(0), share: 0.5 };
        assert_eq!(rejected(BaseOptions { window, ..good() }), "window");
        assert_eq!(rejected(BaseOptions { heads: 3, ..good() }), "hidden_size");
        assert_eq!(rejected(run(RunOptions { max_steps: None, ..good().run })), "max_steps");
        assert_eq!(rejected(run(RunOptions { workers: 7, ..good().run })), "workers");
        assert_eq!(rejected(run(RunOptions { average_decay: 1.0, ..good().run })), "average_decay");
        let short = |_: u64| Ok(vec![2; 7]);
        assert!(matches!(
            train_on(&short, &letter_tokenizer(), &good()),
            Err(TrainError::Row { .. })
        ));
    }
}
