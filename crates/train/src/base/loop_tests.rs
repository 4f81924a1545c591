//! Tests of the training loop in `run`, on a tiny base model.

use std::path::Path;

use super::options::BaseOptions;
use super::rows::HELD_OUT;
use super::testing::{letter_tokenizer, letters, losses, tiny_run};
use super::train::train_on;
use crate::error::TrainError;
use crate::run::read_log;

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
