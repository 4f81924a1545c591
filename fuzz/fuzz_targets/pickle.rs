//! Any bytes as a checkpoint's `pytorch_model.bin`: the exporter returns a manifest or an error, and never
//! panics. A converted file is a valid `.safetensors` file.
#![no_main]

use conjoint_export::{ExportOptions, WeightFile, export};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../../tests/fixtures/bert-tiny/config.json");

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
    if let Ok(manifest) = export(&ExportOptions::new(folder.path())) {
        let [WeightFile { name, .. }] = &manifest.provenance.weights[..] else { panic!("one file") };
        WeightFile::of(&folder.path().join(name), name.clone()).unwrap();
    } else {
        assert!(!folder.path().join("weights").exists());
    }
});
