//! Any bytes as a checkpoint's `model.safetensors`: the exporter returns a manifest or an error, and never
//! panics.
#![no_main]

use conjoint_export::{ExportOptions, export};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../tests/fixtures/dream-tiny/config.json");

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let _ = export(&ExportOptions::new(folder.path()));
});
