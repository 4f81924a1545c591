//! Checks of an exported folder against its manifest.

mod common;

use std::fs;
use std::path::Path;

use common::{copy, edit_json, edit_tensors};
use conjoint_export::{ExportOptions, MANIFEST, Manifest, Operators, SamplerForm, export};
use serde_json::json;
use tempfile::TempDir;

/// Problems of a folder, as text.
fn problems(folder: &Path) -> Vec<String> {
    let manifest = Manifest::read(folder).unwrap();
    manifest.problems(folder).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn only_problem(folder: &Path, parts: &[&str]) {
    let problems = problems(folder);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part} is not in {}", problems[0]);
    }
}

/// An export with a sampler layer in a folder of its own.
fn exported(name: &str, sampler: Option<&TempDir>, operators: Operators) -> TempDir {
    let (checkpoint, out) = (copy(name), tempfile::tempdir().unwrap());
    let mut options = ExportOptions::new(checkpoint.path());
    options.sampler = sampler.map(|folder| folder.path().into());
    options.out = Some(out.path().into());
    options.operators = operators;
    options.head_top = Some(8);
    export(&options).unwrap();
    out
}

fn exported_dream() -> TempDir {
    exported("dream-tiny", Some(&copy("adjust-dream-tiny")), Operators::Fused)
}

#[test]
fn valid_exports_have_no_problem() {
    let (adjust, of_albert) = (copy("adjust-dream-tiny"), copy("adjust-albert-tiny"));
    for operators in [Operators::Fused, Operators::Portable] {
        for (name, sampler) in [
            ("dream-tiny", Some(&adjust)),
            ("llada-tiny", None),
            ("dream-tied-bf16-sharded", None),
            ("bert-untied", None),
            ("albert-tiny", Some(&of_albert)),
            ("modernbert-biased", None),
        ] {
            let folder = exported(name, sampler, operators);
            assert_eq!(problems(folder.path()), [""; 0], "{name} {operators:?}");
        }
    }
    let (checkpoint, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
    let mut options = ExportOptions::new(checkpoint.path());
    (options.sampler, options.passes) = (Some(adjust.path().into()), Some(SamplerForm::Rows));
    options.out = Some(out.path().into());
    export(&options).unwrap();
    assert_eq!(problems(out.path()), [""; 0]);
    edit_json(&out.path().join(MANIFEST), |manifest| {
        manifest["graphs"]["sampler_rows"]["context"] = json!("sampler-rows.onnx");
    });
    only_problem(out.path(), &["head_dim", "sampler-rows.onnx"]);
    let tiny = conjoint_models::tiny();
    assert_eq!(problems(&tiny), [""; 0]);
}

#[test]
fn every_file_of_the_manifest_must_exist() {
    let folder = exported_dream();
    let files: Vec<String> =
        Manifest::read(folder.path()).unwrap().files().into_iter().map(Into::into).collect();
    for name in [
        "config.json",
        "backbone.onnx",
        "head.onnx",
        "head-top.onnx",
        "sampler.onnx",
        "sampler.safetensors",
    ] {
        assert!(files.iter().any(|file| file == name), "{name}");
    }
    for name in files {
        let path = folder.path().join(&name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        only_problem(folder.path(), &[&name, "is missing"]);
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(problems(folder.path()), [""; 0]);
}

#[test]
fn every_size_of_the_manifest_is_compared() {
    let folder = exported_dream();
    let file = folder.path().join(MANIFEST);
    let sound = fs::read(&file).unwrap();
    for (key, value, expected) in [
        ("family", json!("llada"), "\"dream\" as in"),
        ("vocab_size", json!(97), "96"),
        ("hidden_size", json!(64), "32"),
        ("layers", json!(7), "2"),
        ("heads", json!(8), "4"),
        ("kv_heads", json!(1), "2"),
        ("head_dim", json!(4), "8"),
        ("ffn_size", json!(9), "config.json"),
        ("max_positions", json!(9), "config.json"),
        ("dtype", json!("float16"), "\"float32\" as in"),
        ("operators", json!("portable"), "\"fused\" as in backbone.onnx"),
        ("tokens", json!({"mask": 1, "eos": [2], "pad": 2, "bos": 2}), "{\"mask\":94,\"eos\":[95]"),
    ] {
        fs::write(&file, &sound).unwrap();
        edit_json(&file, |manifest| manifest[key] = value);
        let problems = problems(folder.path());
        let named = |problem: &String| problem.contains(key) && problem.contains(expected);
        assert!(problems.iter().any(named), "{key}: {problems:#?}");
    }
}

#[test]
fn the_top_k_head_is_checked_like_the_other_graphs() {
    let folder = exported_dream();
    let graph = folder.path().join("head-top.onnx");
    let other = exported("llada-tiny", None, Operators::Fused);
    fs::copy(other.path().join("head-top.onnx"), &graph).unwrap();
    let found = problems(folder.path());
    let misplaced =
        |problem: &String| problem.contains("head-top.onnx") && problem.contains("ff_out");
    assert!(found.iter().any(misplaced), "{found:#?}");
    fs::write(&graph, b"\xff\xff\xff").unwrap();
    only_problem(folder.path(), &["head-top.onnx", "export the checkpoint again"]);
    let folder = exported_dream();
    edit_json(&folder.path().join(MANIFEST), |manifest| {
        manifest["graphs"]["head_top"]["k"] = json!(9);
    });
    only_problem(folder.path(), &["head_top.k", "8 as in head-top.onnx"]);
}

#[test]
fn changed_weights_are_reported_by_file_and_tensor() {
    let folder = exported_dream();
    let weights = folder.path().join("sampler.safetensors");
    edit_tensors(&weights, |tensors| {
        tensors.remove("drafter.down_project.0.bias").unwrap();
    });
    let problems = problems(folder.path());
    assert!(problems[0].contains("sampler.safetensors has changed"), "{problems:#?}");
    let lost = "drafter.down_project.0.bias from sampler.safetensors, which does not hold it";
    assert!(problems.iter().any(|problem| problem.contains(lost)), "{problems:#?}");
    // The tensors after it have moved.
    let moved = |problem: &String| problem.contains("but it is at byte");
    assert!(problems.iter().any(moved), "{problems:#?}");
}

#[test]
fn invalid_graphs_and_graphs_of_another_model_are_reported() {
    let folder = exported_dream();
    let graph = folder.path().join("head.onnx");
    let sound = fs::read(&graph).unwrap();
    for broken in [&b""[..], b"\xff\xff\xff", &sound[..sound.len() / 2]] {
        fs::write(&graph, broken).unwrap();
        only_problem(folder.path(), &["head.onnx", "export the checkpoint again"]);
    }
    fs::copy(folder.path().join("backbone.onnx"), &graph).unwrap();
    only_problem(folder.path(), &["vocab_size", "32", "head.onnx"]);
    let other = exported("llada-tiny", None, Operators::Fused);
    fs::copy(other.path().join("head.onnx"), &graph).unwrap();
    let problems = problems(folder.path());
    assert!(problems.iter().any(|problem| problem.contains("transformer.ff_out")), "{problems:#?}");
}
