//! Any bytes as a tokenizer's files: finding special tokens and opening the tokenizer succeed or fail without a
//! panic. So do encoding and decoding.
#![no_main]

use arbitrary::Arbitrary;
use conjoint::Tokenizer;
use conjoint::export::{ExportOptions, export};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../tests/fixtures/dream-tiny/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../tests/fixtures/dream-tiny/model.safetensors");

#[derive(Debug, Arbitrary)]
struct Files {
    tokenizer: Option<String>,
    config: Option<String>,
    added: Option<String>,
    map: Option<String>,
    generation: Option<String>,
    vocab: Option<String>,
    words: Option<String>,
    merges: Option<String>,
    text: String,
}

fuzz_target!(|files: Files| {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("tokenizer.json", &files.tokenizer),
        ("tokenizer_config.json", &files.config),
        ("added_tokens.json", &files.added),
        ("special_tokens_map.json", &files.map),
        ("generation_config.json", &files.generation),
        ("vocab.json", &files.vocab),
        ("vocab.txt", &files.words),
        ("merges.txt", &files.merges),
    ] {
        if let Some(text) = text {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
    }
    if let Ok(tokenizer) = Tokenizer::open(folder.path())
        && let Ok(ids) = tokenizer.encode(&files.text)
    {
        let _ = tokenizer.decode(&tokenizer.prompt(ids));
        let _ = tokenizer.encode_literally(&files.text);
    }
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), WEIGHTS).unwrap();
    let _ = export(&ExportOptions::new(folder.path()));
});
