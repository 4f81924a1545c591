//! A second export into the folder of an earlier one: the files that it replaces, removes and keeps.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_names, contents, copy, edit_json, edit_tensors, fixture};
use conjoint_export::{ExportError, ExportOptions, MANIFEST, Manifest, export};
use serde_json::json;
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";

fn into(checkpoint: &TempDir, out: &Path) -> ExportOptions {
    let mut options = ExportOptions::new(checkpoint.path());
    options.out = Some(out.into());
    options
}

/// Replaces a checkpoint's file, as a download does: under the same name a new file.
fn replace(checkpoint: &TempDir, name: &str, edit: impl FnOnce(&Path)) {
    let (path, aside) = (checkpoint.path().join(name), checkpoint.path().join("aside"));
    fs::copy(&path, &aside).unwrap();
    edit(&aside);
    fs::rename(aside, path).unwrap();
}

fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn assert_valid(out: &Path) {
    let problems = Manifest::read(out).unwrap().problems(out);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn an_updated_checkpoint_updates_its_export() {
    let (folder, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"a": 1}"#).unwrap();
    fs::write(folder.path().join("special_tokens_map.json"), "{}").unwrap();
    let options = into(&folder, out.path());
    export(&options).unwrap();
    let old = contents(out.path());

    replace(&folder, WEIGHTS, flip_last_byte);
    replace(&folder, "tokenizer_config.json", |path| fs::write(path, r#"{"a": 2}"#).unwrap());
    fs::remove_file(folder.path().join("special_tokens_map.json")).unwrap();
    export(&options).unwrap();
    let new = contents(out.path());
    assert!(
        new[WEIGHTS] == fs::read(folder.path().join(WEIGHTS)).unwrap()
            && new[WEIGHTS] != old[WEIGHTS]
    );
    assert_eq!(new["tokenizer_config.json"], br#"{"a": 2}"#);
    assert!(!new.contains_key("special_tokens_map.json"));
    assert_valid(out.path());
}

#[test]
fn shards_that_are_no_longer_used_are_removed() {
    let (sharded, out) = (copy("dream-tied-bf16-sharded"), tempfile::tempdir().unwrap());
    export(&into(&sharded, out.path())).unwrap();
    fs::write(out.path().join("notes.txt"), "mine").unwrap();
    let single = copy("dream-tiny");
    export(&into(&single, out.path())).unwrap();
    let names: Vec<_> = contents(out.path()).into_keys().collect();
    let expected = ["backbone.onnx", "config.json", MANIFEST, "head.onnx", WEIGHTS, "notes.txt"];
    assert_eq!(names, expected);
    assert_valid(out.path());
    // The checkpoint itself is unchanged.
    assert!(sharded.path().join("model-00001-of-00002.safetensors").exists());
}

/// Files changed after the export belong to the user.
#[test]
fn changed_files_are_an_error_and_stay() {
    for name in [WEIGHTS, "config.json"] {
        let (folder, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
        let options = into(&folder, out.path());
        export(&options).unwrap();
        let own = out.path().join(name);
        let mut bytes = fs::read(&own).unwrap();
        fs::remove_file(&own).unwrap();
        match name {
            WEIGHTS => *bytes.last_mut().unwrap() ^= 2,
            _ => bytes.push(b'\n'),
        }
        fs::write(&own, bytes).unwrap();
        replace(&folder, WEIGHTS, flip_last_byte);
        let before = contents(out.path());
        let error = export(&options).unwrap_err();
        assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
        assert_names(&error, &[name]);
        assert!(contents(out.path()) == before);
    }
}

/// The manifest of a checkpoint exported in place lists its weights, but not as files of the export.
#[test]
fn a_checkpoint_with_an_export_beside_it_is_never_overwritten() {
    let (mine, other) = (copy("dream-tiny"), copy("llada-tiny"));
    let manifest = export(&ExportOptions::new(mine.path())).unwrap();
    assert!(manifest.provenance.exported_files.is_empty());
    let before = contents(mine.path());
    let error = export(&into(&other, mine.path())).unwrap_err();
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    assert!(contents(mine.path()) == before);
}

/// The folder may have had the same files before any export.
#[test]
fn files_that_existed_before_belong_to_the_user() {
    let (folder, out) = (copy("dream-tiny"), copy("dream-tiny"));
    let manifest = export(&into(&folder, out.path())).unwrap();
    let files = &manifest.provenance.exported_files;
    assert!(files.is_empty(), "{files:?}");
    replace(&folder, WEIGHTS, flip_last_byte);
    let before = contents(out.path());
    assert_names(&export(&into(&folder, out.path())).unwrap_err(), &[WEIGHTS, "remove it"]);
    assert!(contents(out.path()) == before);
}

/// An edited manifest must not lead to the removal of other files.
#[test]
fn files_outside_of_the_folder_are_never_removed() {
    let (folder, root) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
    let out = root.path().join("out");
    let options = into(&folder, &out);
    let sum = export(&options).unwrap().provenance.exported_files["config.json"].clone();
    for name in ["../config.json", "other/config.json"] {
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(out.join("config.json"), &path).unwrap();
        edit_json(&out.join(MANIFEST), |manifest| {
            manifest["provenance"]["brought"][name] = json!(sum)
        });
        export(&options).unwrap();
        assert!(path.exists(), "{name}");
    }
}

#[test]
fn an_export_in_place_keeps_the_list_of_exported_files() {
    let (folder, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
    let first = export(&into(&folder, out.path())).unwrap();
    let again = export(&ExportOptions::new(out.path())).unwrap();
    assert_eq!(again.provenance.exported_files, first.provenance.exported_files);
    replace(&folder, WEIGHTS, flip_last_byte);
    export(&into(&folder, out.path())).unwrap();
    assert_valid(out.path());
}

/// The folder may hold the only copy of a trained layer.
#[test]
fn a_sampler_layer_is_replaced_by_another_and_otherwise_kept() {
    let (folder, sampler) = (copy("dream-tiny"), fixture("adjust-dream-tiny"));
    let out = tempfile::tempdir().unwrap();
    let mut options = into(&folder, out.path());
    options.sampler = Some(sampler.clone());
    export(&options).unwrap();
    let layer = || fs::read(out.path().join("sampler.safetensors")).unwrap();
    let first = layer();
    options.sampler = None;
    export(&options).unwrap();
    assert!(layer() == first);
    // In a shard, which makes the old file unused.
    let sharded = copy("adjust-dream-tiny");
    let path = |name: &str| sharded.path().join(name);
    let shard = "model-00001-of-00001.safetensors";
    fs::rename(path(WEIGHTS), path(shard)).unwrap();
    let mut weight_map = serde_json::Map::new();
    edit_tensors(&path(shard), |tensors| {
        weight_map.extend(tensors.keys().map(|name| (name.clone(), json!(shard))));
    });
    let index = json!({"weight_map": weight_map}).to_string();
    fs::write(path("model.safetensors.index.json"), index).unwrap();
    options.sampler = Some(sharded.path().into());
    export(&options).unwrap();
    assert!(!out.path().join("sampler.safetensors").exists());
    assert!(out.path().join("sampler-00001-of-00001.safetensors").exists());
    assert_valid(out.path());
}

/// A model can be opened while it is exported again.
#[test]
fn an_export_that_changes_nothing_writes_nothing() {
    for in_place in [true, false] {
        let (folder, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
        let options =
            if in_place { ExportOptions::new(folder.path()) } else { into(&folder, out.path()) };
        let written = if in_place { folder.path() } else { out.path() };
        export(&options).unwrap();
        let times = || -> Vec<_> {
            let entries = fs::read_dir(written).unwrap().map(|entry| entry.unwrap());
            let mut times: Vec<_> = entries
                .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
                .collect();
            times.sort();
            times
        };
        let before = times();
        std::thread::sleep(std::time::Duration::from_millis(20));
        export(&options).unwrap();
        assert_eq!(times(), before);
        // A lost graph is written again, and the manifest with it.
        fs::remove_file(written.join("head.onnx")).unwrap();
        export(&options).unwrap();
        assert_valid(written);
    }
}

#[test]
fn concurrent_exports_leave_a_valid_one() {
    let (folder, out) = (copy("dream-tiny"), tempfile::tempdir().unwrap());
    std::thread::scope(|scope| {
        for number in 0..6 {
            let mut options = into(&folder, out.path());
            options.head_top = (number % 2 == 0).then_some(8);
            options.sampler = (number % 3 == 0).then(|| fixture("adjust-dream-tiny"));
            scope.spawn(move || export(&options).unwrap());
        }
    });
    assert_valid(out.path());
    let names: Vec<_> = contents(out.path()).into_keys().collect();
    assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
    let manifest = Manifest::read(out.path()).unwrap();
    let graphs: Vec<_> = names.iter().filter(|name| name.ends_with(".onnx")).collect();
    assert_eq!(graphs.len(), manifest.graphs.names().count(), "{graphs:?}");
}

/// Converted weights count as files of the export.
#[test]
fn converted_weights_are_replaced_by_a_later_export() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    let options = into(&folder, out.path());
    let first = export(&options).unwrap();
    assert!(first.provenance.exported_files.contains_key(WEIGHTS));
    let before = contents(out.path());
    export(&options).unwrap();
    assert!(contents(out.path()) == before);
    // Another checkpoint, with its own weights.
    let dream = copy("dream-tiny");
    export(&into(&dream, out.path())).unwrap();
    assert_valid(out.path());
    export(&options).unwrap();
    assert_valid(out.path());
    assert!(contents(out.path())[WEIGHTS] == before[WEIGHTS]);
}
