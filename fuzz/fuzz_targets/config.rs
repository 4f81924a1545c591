//! Any bytes as a checkpoint's `config.json`: the exporter returns a manifest or an error, and never
//! panics.
#![no_main]

use conjoint_export::{ExportOptions, export};
use libfuzzer_sys::fuzz_target;

const WEIGHTS: &[u8] = include_bytes!("../../tests/fixtures/dream-tiny/model.safetensors");

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), bytes).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), WEIGHTS).unwrap();
    let _ = export(&ExportOptions::new(folder.path()));
});
