//! Copies of the fixtures that tests may change, and functions that change them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conjoint_export::{ExportError, ExportOptions, export};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde_json::Value;
use tempfile::TempDir;

/// Type, shape and bytes of tensors, by name.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A fixture's folder. Tests must not write to it.
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

/// Asserts that an export fails and leaves the checkpoint's folder unchanged, and returns the error.
pub fn export_error(options: &ExportOptions) -> ExportError {
    let before = contents(&options.checkpoint);
    let error = export(options).expect_err("this export must fail");
    assert!(contents(&options.checkpoint) == before, "{error} left something behind");
    error
}

/// As [`export_error`], with default options.
pub fn checkpoint_error(checkpoint: &TempDir) -> ExportError {
    export_error(&ExportOptions::new(checkpoint.path()))
}

/// Asserts that an error's message contains all parts.
pub fn assert_names(error: &impl std::fmt::Display, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "\"{part}\" is not in: {message}");
    }
}
