//! Causal language models of other exporters, as scorers.

mod common;

use std::path::PathBuf;

use conjoint_core::{Autoregressive, TokenId};
use conjoint_onnx::{Error, ExecutionProvider, OnnxAutoregressive, runtime};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.onnx"))
}

fn open(name: &str) -> Result<OnnxAutoregressive, Error> {
    runtime::ensure().unwrap();
    OnnxAutoregressive::open(path(name), ExecutionProvider::Cpu)
}

/// The logits after `tokens`, as `tests/data/make_autoregressive.py` defines them.
fn after(tokens: &[TokenId]) -> Vec<f64> {
    let (table, head) = (|i: usize| (i as f64 * 1.7).sin(), |i: usize| (i as f64 * 0.9).cos());
    let state = |d: usize| tokens.iter().map(|&t| table(t as usize * 3 + d)).sum::<f64>();
    (0..5).map(|v| (0..3).map(|d| state(d) * head(d * 5 + v)).sum()).collect()
}

fn log_probability(logits: &[f64], token: TokenId) -> f64 {
    logits[token as usize] - logits.iter().map(|l| l.exp()).sum::<f64>().ln()
}

#[test]
fn rows_are_the_distributions_of_the_next_tokens() {
    let tokens = [3, 0, 4, 1, 2];
    for name in ["autoregressive", "autoregressive-full"] {
        let model = open(name).unwrap();
        let rows = model.rows(&tokens, 1..4).unwrap();
        for (n, position) in (1..4).enumerate() {
            let expected = after(&tokens[..position]);
            let near = |(&a, b): (&f32, &f64)| (f64::from(a) - b).abs() < 1e-5;
            assert!(rows.logits(n).iter().zip(&expected).all(near), "{name} {position}");
        }
        // No row depends on its own token or a later one.
        assert_eq!(rows, model.rows(&[3, 0, 4, 2, 0], 1..4).unwrap());
        assert_ne!(rows, model.rows(&[3, 1, 4, 1, 2], 1..4).unwrap());
    }
}

#[test]
fn likelihoods_match_the_definition() {
    let tokens = [3, 0, 4, 1, 2];
    let expected = |start: &[TokenId]| -> f64 {
        let whole: Vec<TokenId> = start.iter().chain(&tokens).copied().collect();
        let term = |i: usize| log_probability(&after(&whole[..i]), whole[i]);
        (start.len().max(1)..whole.len()).map(term).sum()
    };
    let free = open("autoregressive").unwrap();
    let got = free.log_likelihood(&tokens, 0..5).unwrap();
    assert!((got - (expected(&[]) - 5f64.ln())).abs() < 1e-5, "{got}");
    let started = open("autoregressive-full").unwrap().start(2);
    let got = started.log_likelihood(&tokens, 0..5).unwrap();
    assert!((got - expected(&[2])).abs() < 1e-5, "{got}");
    assert_eq!(free.log_likelihood(&[], 0..0).unwrap(), 0.0);
    assert!((free.log_likelihood(&[1], 0..1).unwrap() + 5f64.ln()).abs() < 1e-6);
}

#[test]
fn graphs_of_another_signature_are_rejected() {
    for (name, part) in [
        ("autoregressive-cached", "past_key_values.0.key"),
        ("autoregressive-nameless", "(scores)"),
    ] {
        let error = open(name).map(drop).unwrap_err();
        assert!(matches!(error, Error::GraphSignature { .. }));
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("(input_ids) → logits"), "{text}");
    }
    assert!(matches!(open("nothing"), Err(Error::MissingGraph { .. })));
    // An id outside the vocabulary.
    assert!(open("autoregressive").unwrap().log_likelihood(&[7, 1], 0..2).is_err());
}
