//! Tests of the training loop in `run`, on a tiny base model.

use std::path::Path;

use super::options::BaseOptions;
use super::row_form::RowForm;
use super::rows::HELD_OUT;
use super::testing::{letter_tokenizer, letters, losses, tiny_run, word_tokenizer};
use super::texts::{TextFile, TextSource};
use super::train::{train_base, train_on};
use crate::error::TrainError;
use crate::run::{Decay, read_log};

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    resumed_equals_uninterrupted(0.0);
}

#[test]
fn a_resumed_run_restores_its_progressive_rows() {
    resumed_equals_uninterrupted(0.5);
}

fn resumed_equals_uninterrupted(progressive_share: f64) {
    let run =
        |dir: &Path| BaseOptions { progressive_share, progressive_turns: 3, ..tiny_run(dir, 20) };
    let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let whole = train_on(&letters, &letter_tokenizer(), &run(straight.path())).unwrap();
    let mut killed = run(broken.path());
    killed.run.checkpoint_minutes = 0.0;
    let dies = |index: u64| match index {
        60..HELD_OUT => Err(TrainError::Row { row: index, reason: "killed".into() }),
        _ => letters(index),
    };
    assert!(matches!(
        train_on(&dies, &letter_tokenizer(), &killed),
        Err(TrainError::Row { row: 60.., .. })
    ));
    assert_eq!(losses(broken.path()).len(), 10);
    // The number of threads may change too.
    killed.run.workers = 3;
    let resumed = train_on(&letters, &letter_tokenizer(), &killed).unwrap();
    let (straight, broken) = (losses(straight.path()), losses(broken.path()));
    assert_eq!(straight.len(), broken.len());
    assert!(straight.iter().zip(&broken).all(|(a, b)| (a - b).abs() < 1e-4));
    assert_eq!(whole.tokens, resumed.tokens);
    for (name, value) in &whole.validation {
        assert!((value - resumed.validation[name]).abs() < 1e-4);
    }
}

#[test]
fn a_checkpoint_of_other_sizes_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let small = tiny_run(dir.path(), 2);
    train_on(&letters, &letter_tokenizer(), &small).unwrap();
    let large = BaseOptions { intermediate_size: 32, ..small };
    let rejected = train_on(&letters, &letter_tokenizer(), &large);
    assert!(matches!(rejected, Err(TrainError::OtherOptions { .. })), "{rejected:?}");
}

#[test]
fn a_finished_run_is_not_trained_further() {
    let dir = tempfile::tempdir().unwrap();
    let first = train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 3)).unwrap();
    let again = train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 3)).unwrap();
    assert_eq!(first.steps, again.steps);
    // Numbers in JSON are read back to within their last digit.
    assert!((first.loss - again.loss).abs() < 1e-9, "{} {}", first.loss, again.loss);
    assert_eq!(losses(dir.path()).len(), 3);
}

#[test]
fn the_micro_batch_does_not_change_the_losses() {
    let run = |micro_batch, workers| {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tiny_run(dir.path(), 3);
        (options.run.micro_batch, options.run.workers) = (micro_batch, workers);
        train_on(&letters, &letter_tokenizer(), &options).unwrap();
        losses(dir.path())
    };
    let whole = run(None, 1);
    for (micro_batch, workers) in [(1, 1), (3, 2)] {
        let parts = run(Some(micro_batch), workers);
        assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-4), "{parts:?}");
    }
}

#[test]
fn early_stopping_keeps_the_best_model() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = tiny_run(dir.path(), 500);
    options.run.checkpoint_steps = Some(5);
    options.run.patience = Some(2);
    // Rates so high that the validation soon gets worse.
    options.run.optimizer.adamw_rate = 3.0;
    options.run.optimizer.muon_rate = 3.0;
    let first = train_on(&letters, &letter_tokenizer(), &options).unwrap();
    assert!(first.steps < 500 && first.steps.is_multiple_of(5), "{first:?}");
    let records = read_log(&dir.path().join("log.jsonl")).unwrap();
    let scores: Vec<f64> = records
        .iter()
        .filter(|record| !record.validation.is_empty())
        .map(|r| r.validation.values().sum())
        .collect();
    let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(scores.iter().position(|&s| s == best), Some(scores.len() - 3), "{scores:?}");
    // Numbers in JSON are read back to within their last digit.
    assert!((first.validation.values().sum::<f64>() - best).abs() < 1e-9, "{first:?}");
    let model = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    // A resumed run stays stopped, and keeps the best model.
    let again = train_on(&letters, &letter_tokenizer(), &options).unwrap();
    assert_eq!(again.steps, first.steps);
    assert!((again.validation.values().sum::<f64>() - best).abs() < 1e-9, "{again:?}");
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), model);
}

/// A run on the 30 texts of a file, of which 3 are held out, with rows of a given end.
fn file_run(dir: &Path, name: &str, steps: u64) -> BaseOptions {
    run_on_texts(dir, name, 30, steps)
}

/// A run on a file of `count` texts of 1 to 7 letters, each of which implies its neighbours.
fn run_on_texts(dir: &Path, name: &str, count: usize, steps: u64) -> BaseOptions {
    let path = dir.join("texts.txt");
    let texts = (0..count).map(|i| "abcabcabc"[i % 3..i % 3 + 1 + i % 7].to_owned() + "\n");
    std::fs::write(&path, texts.collect::<String>()).unwrap();
    let tokenizer = word_tokenizer(dir, &["[MASK]", "[EOS]", "a", "b", "c"], None);
    let mut options = BaseOptions {
        texts: TextSource::File(TextFile { path, tokenizer, ..TextFile::default() }),
        form: RowForm::GivenEnd,
        early_limit: 1.0,
        progressive_share: 0.4,
        ..tiny_run(&dir.join(name), steps)
    };
    options.run.optimizer.decay = Decay::Constant;
    options
}

#[test]
fn a_resumed_run_on_a_file_equals_an_uninterrupted_one_over_several_epochs() {
    let dir = tempfile::tempdir().unwrap();
    // Six rows of 27 texts a step.
    let whole = train_base(&file_run(dir.path(), "whole", 24)).unwrap();
    for steps in [4, 5, 13, 24] {
        let resumed = train_base(&file_run(dir.path(), "resumed", steps)).unwrap();
        assert_eq!((resumed.steps, resumed.tokens), (steps, steps * (whole.tokens / 24)));
    }
    let read = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert_eq!(losses(&dir.path().join("whole")), losses(&dir.path().join("resumed")));
    assert_eq!(read("whole"), read("resumed"));
    // A mean text of 27 has about 4 tokens and an end token.
    assert!((24 * 6 * 4..24 * 6 * 6).contains(&whole.tokens), "{}", whole.tokens);
}

#[test]
fn a_run_on_another_file_or_tokenizer_is_another_run() {
    let dir = tempfile::tempdir().unwrap();
    train_base(&file_run(dir.path(), "run", 1)).unwrap();
    let rejected = |options: &BaseOptions| match train_base(options) {
        Err(TrainError::OtherOptions { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let options = file_run(dir.path(), "run", 2);
    let padded = BaseOptions { form: RowForm::Padded, ..options.clone() };
    assert_eq!(rejected(&padded), "given_end");
    word_tokenizer(dir.path(), &["[MASK]", "[EOS]", "a", "b", "c", "d"], None);
    assert_eq!(rejected(&options), "tokenizer");
    let options = file_run(dir.path(), "run", 2);
    let texts = std::fs::read_to_string(dir.path().join("texts.txt")).unwrap();
    std::fs::write(dir.path().join("texts.txt"), texts.replacen("abc", "abb", 1)).unwrap();
    assert_eq!(rejected(&options), "texts");
}

#[test]
fn a_model_of_given_ends_learns_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = run_on_texts(dir.path(), "run", 420, 300);
    options.run.batch = 16;
    let summary = train_base(&options).unwrap();
    // A uniform guess costs ln 8 = 2.08 nats. Alone, a letter costs ln 3 = 1.10; neighbours imply it.
    assert!(summary.validation["masked 10 %"] < 0.6, "{:?}", summary.validation);
}
