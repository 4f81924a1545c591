//! Helpers for tests of base models.

use std::path::Path;

use super::options::BaseOptions;
use super::tokenizer::CharTokenizer;
use crate::error::TrainError;
use crate::model::testing::echo;
use crate::run::{OptimizerOptions, RunOptions, read_log};

/// Options of a run of `steps` steps, with a model of a few thousand weights, on two threads.
pub(crate) fn tiny_run(dir: &Path, steps: u64) -> BaseOptions {
    let optimizer = OptimizerOptions {
        muon_rate: 0.02,
        adamw_rate: 0.02,
        warmup_steps: 5,
        ..Default::default()
    };
    let run = RunOptions {
        dir: dir.into(),
        max_steps: Some(steps),
        max_minutes: None,
        batch: 6,
        workers: 2,
        checkpoint_minutes: 1e9,
        log_every: 1,
        average_decay: 0.9,
        progress: false,
        optimizer,
        ..RunOptions::default()
    };
    BaseOptions {
        hidden_size: 16,
        layers: 2,
        intermediate_size: 24,
        length: 8,
        prompt: 0,
        validation_rows: 40,
        run,
        ..BaseOptions::default()
    }
}

/// A tokenizer of four letters, with ids 2 to 5.
pub(crate) fn letter_tokenizer() -> CharTokenizer {
    CharTokenizer::new("abcd", &[]).unwrap()
}

/// Rows of [`echo`] over the four letters.
pub(crate) fn letters(index: u64) -> Result<Vec<u32>, TrainError> {
    Ok(echo(4)(index)?.into_iter().map(|id| id + 2).collect())
}

/// The losses in the log of `dir`.
pub(crate) fn losses(dir: &Path) -> Vec<f64> {
    read_log(&dir.join("log.jsonl")).unwrap().iter().map(|record| record.loss).collect()
}
