//! A file that is not a library. In a process of its own, because a process loads one runtime only.

use std::fs;

use conjoint_onnx::{Error, runtime};

#[test]
fn a_file_that_is_not_a_library_cannot_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libonnxruntime.so.1.31.1");
    fs::write(&file, "not a library").unwrap();
    let error = runtime::init(&file).err().unwrap();
    assert!(matches!(&error, Error::RuntimeUnusable { path, .. } if *path == file), "{error}");
}
