//! The files that an export writes.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_names, contents, copy, edit_json, fixture};
use conjoint_export::{ExportOptions, MANIFEST, Tables, WeightFile, export};
use serde_json::json;

const WEIGHTS: &str = "model.safetensors";

fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

/// Pickled weights are converted to the same bytes that the `safetensors` library writes. No other file is
/// added.
#[test]
fn pickled_weights_are_converted_beside_the_graphs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    let before = contents(folder.path());
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    let mut after = contents(folder.path());
    let converted = after.remove("weights/model.safetensors").unwrap();
    assert!(converted == fs::read(fixture("bert-tiny").join(WEIGHTS)).unwrap());
    for name in ["backbone.onnx", "head.onnx", MANIFEST] {
        assert!(after.remove(name).is_some(), "{name}");
    }
    assert!(after == before);
    assert_eq!(manifest.provenance.weights[0].name, "weights/model.safetensors");
    assert_eq!(manifest.problems(folder.path()).len(), 0);
    // A sampler layer is trained on the weights that the graphs point into.
    assert_eq!(Tables::read(folder.path()).unwrap(), Tables::read(&fixture("bert-tiny")).unwrap());
    let once = contents(folder.path());
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(contents(folder.path()) == once);
    // Weights that need no conversion take precedence, as in Transformers. The converted ones are removed.
    fs::write(folder.path().join(WEIGHTS), &converted).unwrap();
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(manifest.provenance.weights[0].name, WEIGHTS);
    assert!(!folder.path().join("weights/model.safetensors").exists());
}

#[test]
fn pickled_weights_become_a_checkpoint_in_another_folder() {
    let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("vocab.txt"), "[PAD]\n").unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.out = Some(root.path().join("new/folder"));
    let before = Tables::read(folder.path()).unwrap_err();
    assert_names(&before, &["weights/model.safetensors", "pytorch_model.bin"]);
    let out = root.path().join("new/folder");
    for _ in 0..2 {
        export(&options).unwrap();
        let expected =
            ["backbone.onnx", "config.json", MANIFEST, "head.onnx", WEIGHTS, "vocab.txt"];
        assert_eq!(names(&out), expected);
    }
    export(&ExportOptions::new(&out)).unwrap();
    // Another model's weights stay.
    let other = fs::read(fixture("albert-tiny").join(WEIGHTS)).unwrap();
    fs::remove_file(out.join(WEIGHTS)).unwrap();
    fs::write(out.join(WEIGHTS), &other).unwrap();
    assert_names(&export(&options).unwrap_err(), &["model.safetensors", "exists"]);
    assert!(fs::read(out.join(WEIGHTS)).unwrap() == other);
    // A failed export leaves no folder.
    options.out = Some(root.path().join("a/b"));
    edit_json(&folder.path().join("config.json"), |config| config["num_hidden_layers"] = json!(3));
    export(&options).unwrap_err();
    assert!(!root.path().join("a").exists());
}

#[test]
fn an_export_in_place_adds_graphs_manifest_and_sampler() {
    let folder = copy("dream-tiny");
    let before = contents(folder.path());
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    let mut after = contents(folder.path());
    for name in ["backbone.onnx", "head.onnx", "sampler.onnx", MANIFEST] {
        assert!(after.remove(name).is_some(), "{name}");
    }
    let sampler = fs::read(fixture("adjust-dream-tiny").join(WEIGHTS)).unwrap();
    assert!(after.remove("sampler.safetensors").unwrap() == sampler);
    assert!(after == before);
}

#[test]
fn exports_are_reproducible() {
    let folder = copy("dream-tiny");
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    let once = contents(folder.path());
    export(&options).unwrap();
    assert!(contents(folder.path()) == once);
}

#[test]
fn another_folder_gets_weights_and_companions_only() {
    let folder = copy("dream-tied-bf16-sharded");
    for name in ["vocab.json", "merges.txt", "README.md", "modeling.py"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let root = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.out = Some(root.path().join("new/folder"));
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.tokenizer.as_deref(), Some("vocab.json"));
    let out = root.path().join("new/folder");
    let expected = [
        "backbone.onnx",
        "config.json",
        "conjoint.json",
        "head.onnx",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "vocab.json",
    ];
    assert_eq!(names(&out), expected);
    // The new folder is a checkpoint itself.
    export(&ExportOptions::new(&out)).unwrap();
    assert_eq!(names(&out), expected);
}

/// A snapshot in the Hugging Face hub's cache: symbolic links into a folder of blobs.
#[cfg(unix)]
#[test]
fn weights_behind_symbolic_links_are_hard_linked() {
    use std::os::unix::fs::{MetadataExt, symlink};

    let blobs = copy("dream-tied-bf16-sharded");
    let root = tempfile::tempdir_in(blobs.path().parent().unwrap()).unwrap();
    for name in names(blobs.path()) {
        symlink(blobs.path().join(&name), root.path().join(&name)).unwrap();
    }
    let manifest = export(&ExportOptions::new(root.path())).unwrap();
    for WeightFile { name, .. } in &manifest.provenance.weights {
        let shard = name.strip_prefix("weights/").unwrap();
        let linked = fs::symlink_metadata(root.path().join(name)).unwrap();
        let blob = fs::metadata(blobs.path().join(shard)).unwrap();
        assert!(linked.is_file() && linked.ino() == blob.ino(), "{name}");
        assert!(fs::symlink_metadata(root.path().join(shard)).unwrap().is_symlink());
    }
    // To another folder they go under their own names.
    let out = root.path().join("out");
    let mut options = ExportOptions::new(root.path());
    options.out = Some(out.clone());
    for WeightFile { name, .. } in export(&options).unwrap().provenance.weights {
        assert!(fs::symlink_metadata(out.join(name)).unwrap().is_file());
    }
}
