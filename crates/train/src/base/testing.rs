//! Helpers for tests of base models.

use std::path::{Path, PathBuf};

use conjoint_corpus::{Corpus, Domain};
use serde_json::json;

use super::options::BaseOptions;
use super::tokenizer::TextTokenizer;
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
pub(crate) fn letter_tokenizer() -> TextTokenizer {
    TextTokenizer::of_characters("abcd", &[]).unwrap()
}

/// The tokenizer of the corpus.
pub(crate) fn corpus_tokenizer() -> TextTokenizer {
    TextTokenizer::of_characters(Corpus::alphabet(), &Domain::ALL.map(Domain::tag)).unwrap()
}

/// Writes a `tokenizer.json` of these tokens, numbered from 0, into `dir`. Tokens of several characters are special; every
/// other character of a text is a token of its own, and an unknown one becomes `unknown` or is an error.
pub(crate) fn word_tokenizer(dir: &Path, tokens: &[&str], unknown: Option<&str>) -> PathBuf {
    let vocabulary: serde_json::Map<_, _> =
        tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
    let special = |(token, id): (&&str, u32)| {
        let flags = json!({"id": id, "content": token, "single_word": false, "lstrip": false,
                           "rstrip": false, "normalized": false, "special": true});
        (token.chars().count() > 1).then_some(flags)
    };
    let json = json!({
        "version": "1.0",
        "added_tokens": tokens.iter().zip(0..).filter_map(special).collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown.unwrap_or("[UNK]")},
    });
    let path = dir.join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    path
}

/// Rows of [`echo`] over the four letters.
pub(crate) fn letters(index: u64) -> Result<Vec<u32>, TrainError> {
    Ok(echo(4)(index)?.into_iter().map(|id| id + 2).collect())
}

/// The losses in the log of `dir`.
pub(crate) fn losses(dir: &Path) -> Vec<f64> {
    read_log(&dir.join("log.jsonl")).unwrap().iter().map(|record| record.loss).collect()
}
