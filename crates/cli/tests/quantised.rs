//! Quantised exports, and models that are too large for the machine.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use common::{conjoint, export, fixtures, generate, generate_json, rejected, stderr, tiny};
use serde_json::{Value, json};

/// The output of `conjoint` on a folder.
fn on(command: &str, folder: &Path, rest: &[&str]) -> std::process::Output {
    let folder = folder.to_string_lossy();
    conjoint(&[&[command, &folder], rest].concat())
}

#[test]
fn a_quantised_export_generates_and_is_described() {
    for bits in ["int8", "int4"] {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().to_string_lossy().into_owned();
        let exported = on("export", &tiny(), &["--quantize", bits, "--out", &folder]);
        assert!(exported.status.success(), "{}", stderr(&exported));
        let info = on("info", out.path(), &[]);
        assert!(info.status.success(), "{}", stderr(&info));
        let description = String::from_utf8(info.stdout).unwrap();
        assert!(
            description.contains(&format!("{bits} weights, quantised from Float16")),
            "{description}"
        );
        assert!(description.contains("needs about 2 MB of memory, "), "{description}");
        let report = generate_json(out.path(), "--prompt the --gen-length 20 --seed 3");
        let text = report["sequences"][0]["text"].as_str().unwrap();
        assert_eq!(text.chars().take(3).collect::<String>(), "the");
        // The weights that were left behind are not needed.
        assert!(!out.path().join("model.safetensors").exists());
    }
    let folder = fixtures().join("dream-tiny");
    rejected(&on("export", &folder, &["--quantize", "int3"]), &["--quantize", "int8 or int4"]);
    let portable = on("export", &folder, &["--quantize", "int8", "--portable"]);
    rejected(&portable, &["--quantize", "--portable"]);
}

/// A checkpoint of 4 · 10⁹ tokens, whose weights are a sparse file of 10¹² bytes.
fn enormous() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read(fixtures().join("dream-tiny").join(name)).unwrap();
    let mut config: Value = serde_json::from_slice(&read("config.json")).unwrap();
    config["vocab_size"] = json!(4_000_000_000_u64);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = read("model.safetensors");
    let size = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&weights[8..8 + size]).unwrap();
    let mut end = 0;
    for (name, tensor) in header.as_object_mut().unwrap() {
        if name == "__metadata__" {
            continue;
        }
        if tensor["shape"][0] == 96 {
            tensor["shape"][0] = json!(4_000_000_000_u64);
        }
        let sizes = tensor["shape"].as_array().unwrap().iter();
        let start = end;
        end += 4 * sizes.map(|size| size.as_u64().unwrap()).product::<u64>();
        tensor["data_offsets"] = json!([start, end]);
    }
    let header = header.to_string();
    let mut file = File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
    folder
}

/// Sparse files take no space on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_model_that_does_not_fit_is_not_loaded() {
    let model = enormous();
    let exported = on("export", model.path(), &["--head-top", "0"]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let description = String::from_utf8(on("info", model.path(), &[]).stdout).unwrap();
    // Two tables of 4 · 10⁹ · 32 float32.
    assert!(description.contains("needs about 1065.0 GB of memory, "), "{description}");
    let output = generate(model.path(), "--prompt-ids 5,9 --gen-length 8");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["needs about 1065.0 GB", "available", "--quantize", "--ignore-memory"] {
        assert!(message.contains(part), "{part} is missing in\n{message}");
    }
    // A file that large has no room on any disk.
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_string_lossy();
    let quantised = on("export", model.path(), &["--quantize", "int8", "--out", &folder]);
    rejected(&quantised, &["--out", "296.0 GB are to be written", "are free"]);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn attention_that_does_not_fit_is_not_run() {
    let folder = export("dream-tiny", None);
    for name in ["config.json", "conjoint.json"] {
        let path = folder.path().join(name);
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let key = if name == "config.json" { "max_position_embeddings" } else { "max_positions" };
        value[key] = json!(4_000_000);
        fs::write(path, value.to_string()).unwrap();
    }
    let line = "--prompt-ids 5,9 --gen-length 2000000 --unmasker marginal --schedule per-step:9";
    let output = generate(folder.path(), line);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["1 sequence of 2000002 positions", "84003.8 GB", "shorter", "--ignore-memory"] {
        assert!(message.contains(part), "{part} is missing in\n{message}");
    }
}
