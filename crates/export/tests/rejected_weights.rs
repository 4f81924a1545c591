//! Invalid weight files and output folders, each with broken files on disk.
//!
//! `checkpoint_error` and `export_error` also assert that the folder is unchanged.

mod common;

use std::fs;

use common::{
    assert_names, checkpoint_error, copy, edit_json, edit_tensors, export_error, fixture,
};
use conjoint_export::{ExportError, ExportOptions, FormatError};
use safetensors::tensor::Dtype;
use serde_json::json;

const WEIGHTS: &str = "model.safetensors";

#[test]
fn weights_in_another_format_only() {
    let folder = copy("dream-tiny");
    for name in ["model.gguf", "pytorch_model-00001-of-00002.bin"] {
        fs::copy(folder.path().join(WEIGHTS), folder.path().join(name)).unwrap();
    }
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::MissingFile { .. })), "{error}");
    assert_names(&error, &[WEIGHTS, "pytorch_model.bin", "converted"]);
}

/// The weights of a fixture, pickled, in a folder without others.
fn pickled(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("bert-tiny").join("config.json"), folder.path().join("config.json")).unwrap();
    fs::copy(fixture("bert-tiny").join(file), folder.path().join(PICKLED)).unwrap();
    folder
}

const PICKLED: &str = "pytorch_model.bin";

#[test]
fn pickled_weights_cut_short_anywhere() {
    for file in [PICKLED, "legacy.bin"] {
        let folder = pickled(file);
        let path = folder.path().join(PICKLED);
        let whole = fs::read(&path).unwrap();
        let lengths = [0, 1, 7, 100, 1000, 5000, 20_000, whole.len() - 1];
        for length in lengths {
            fs::write(&path, &whole[..length]).unwrap();
            let error = checkpoint_error(&folder);
            assert!(matches!(error, ExportError::Pickle { .. }), "{file}, {length}: {error}");
            assert_names(&error, &[PICKLED, ".safetensors"]);
        }
    }
}

/// A program for Python, which is not run, and tensors declared larger than the file.
#[test]
fn pickled_weights_that_are_something_else() {
    let folder = pickled(PICKLED);
    let path = folder.path().join(PICKLED);
    let mark = folder.path().join("mark");
    let shell = format!("touch {}", mark.display());
    let mut program = b"\x80\x02cposix\nsystem\nX".to_vec();
    program.extend((shell.len() as u32).to_le_bytes());
    program.extend(shell.as_bytes());
    program.extend(b"\x85R.");
    for bytes in [&program[..], b"version https://git-lfs.github.com/spec/v1\n"] {
        fs::write(&path, bytes).unwrap();
        assert_names(&checkpoint_error(&folder), &[PICKLED]);
        assert!(!mark.exists());
    }
    let folder = pickled("expanded.bin");
    assert_names(&checkpoint_error(&folder), &[PICKLED, "bytes"]);
}

#[test]
fn a_weight_file_cut_short_anywhere() {
    let folder = copy("dream-tiny");
    let file = folder.path().join(WEIGHTS);
    let whole = fs::read(&file).unwrap();
    for length in [0, 7, 8, 100, 2679, 2680, 50_000, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        let error = checkpoint_error(&folder);
        let right = matches!(
            error,
            ExportError::Format(FormatError::FileLength { .. })
                | ExportError::Format(FormatError::Header { .. })
        );
        assert!(right, "{error}");
        assert_names(&error, &[WEIGHTS]);
    }
}

#[test]
fn a_weight_file_that_is_something_else() {
    let folder = copy("dream-tiny");
    // What a clone without Git LFS leaves behind.
    fs::write(folder.path().join(WEIGHTS), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert_names(&checkpoint_error(&folder), &[WEIGHTS, "Git LFS", "git lfs pull"]);
    fs::write(folder.path().join(WEIGHTS), "version 1\n").unwrap();
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::Header { .. })), "{error}");
}

/// The formats of GPTQ, FP8 and compressed-tensors, and the file that older quantisation tools write.
#[test]
fn quantised_weights() {
    let layer = "model.layers.0.self_attn.q_proj";
    for (name, dtype, bytes) in [
        ("qweight", Dtype::I32, 4),
        ("weight_scale_inv", Dtype::F32, 4),
        ("weight_packed", Dtype::I32, 4),
    ] {
        let folder = copy("dream-tiny");
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
            tensors.insert(format!("{layer}.{name}"), (dtype, vec![1], vec![0; bytes]));
        });
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::Quantised { .. })), "{error}");
        assert_names(&error, &[WEIGHTS, name, "quantised model"]);
    }
    let folder = copy("dream-tiny");
    fs::write(folder.path().join("quantize_config.json"), "{}").unwrap();
    assert_names(&checkpoint_error(&folder), &["quantize_config.json", "quantised model"]);
}

#[test]
fn a_shard_that_is_missing() {
    let folder = copy("dream-tied-bf16-sharded");
    let shard = "model-00002-of-00002.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::Shard { .. })), "{error}");
    assert_names(&error, &[shard, "model.safetensors.index.json"]);
}

#[test]
fn an_index_that_does_not_fit_its_shards() {
    for (tensor, shard, part) in [
        ("model.norm.weight", json!("model-00001-of-00002.safetensors"), "does not hold"),
        ("model.norm.weight", json!("../elsewhere.safetensors"), "not a file name"),
        ("model.norm.weight", json!(3), "invalid type"),
        ("model.extra.weight", json!("model-00001-of-00002.safetensors"), "does not hold"),
    ] {
        let folder = copy("dream-tied-bf16-sharded");
        edit_json(&folder.path().join("model.safetensors.index.json"), |index| {
            index["weight_map"][tensor] = shard;
        });
        assert_names(&checkpoint_error(&folder), &[part, "model.safetensors.index.json"]);
    }
}

#[test]
fn another_models_weights_in_the_output_folder() {
    let (dream, out) = (copy("dream-tiny"), copy("llada-tiny"));
    let before = common::contents(out.path());
    let mut options = ExportOptions::new(dream.path());
    options.out = Some(out.path().into());
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    assert_names(&error, &[WEIGHTS]);
    assert!(common::contents(out.path()) == before, "the other model is untouched");
}

#[test]
fn the_samplers_own_folder_as_the_output_folder() {
    let (dream, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(sampler.path().into());
    options.out = Some(sampler.path().into());
    let before = common::contents(sampler.path());
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    assert!(common::contents(sampler.path()) == before);
}
