//! Checkpoints to break: copies of the fixtures, with means to change them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conjoint_export::{ExportError, ExportOptions, export};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde_json::Value;
use tempfile::TempDir;

/// By name: type, shape, bytes.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A fixture's folder. Never written to.
pub fn fixture(name: &str) -> PathBuf {
    conjoint_models::fixture(name)
}

/// A copy of a fixture's checkpoint that a test may change.
pub fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "reference.safetensors" {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(folder.path().join(entry.file_name()), bytes).unwrap();
        }
    }
    folder
}

/// Changes a JSON file.
pub fn edit_json(file: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    edit(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

/// Changes the tensors of a `.safetensors` file.
pub fn edit_tensors(file: &Path, edit: impl FnOnce(&mut Tensors)) {
    let bytes = fs::read(file).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |view: TensorView| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    let mut tensors = read.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect();
    edit(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(file, serialize(views, None).unwrap()).unwrap();
}

/// Names and contents of everything in a folder.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let inside = self::contents(&entry.path()).into_iter();
            contents.extend(inside.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            contents.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    contents
}

/// The error of an export that must fail and leave the checkpoint's folder as it was.
pub fn refusal(options: &ExportOptions) -> ExportError {
    let before = contents(&options.checkpoint);
    let error = export(options).expect_err("this export must fail");
    assert!(contents(&options.checkpoint) == before, "{error} left something behind");
    error
}

/// As [`refusal`], of an export with default options.
pub fn refused(checkpoint: &TempDir) -> ExportError {
    refusal(&ExportOptions::new(checkpoint.path()))
}

/// Asserts that a message names all of these.
pub fn assert_names(error: &ExportError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "\"{part}\" is not in: {message}");
    }
}
