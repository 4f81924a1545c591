//! What a path leads to, before anything there is read in detail.
//!
//! Most wrong paths are one of a few: the name of a model on the Hub, the root of the Hub's cache, a clone without its large
//! files, a model in another format. Each is recognised here and named for what it is, with what to do about it.

mod files;
mod formats;
mod hub;

use std::fs;
use std::path::Path;

use crate::error::ExportError;
use crate::quantised;

pub(crate) use files::dangling;

/// Rejects a path that leads to no checkpoint, recognised for what it is. Whatever passes may still be none.
pub(crate) fn checkpoint(path: &Path) -> Result<(), ExportError> {
    weights(path)?;
    quantised::reject_folder(path)?;
    formats::reject_others(path)
}

/// As [`checkpoint`], of a folder that needs no `config.json`: a sampler layer's.
pub(crate) fn weights(path: &Path) -> Result<(), ExportError> {
    folder(path)?;
    files::reject_absent(path)
}

/// Rejects a path that leads to no folder of a model, exported or not.
pub(crate) fn folder(path: &Path) -> Result<(), ExportError> {
    if !path.exists() {
        return Err(dangling(path).unwrap_or_else(|| not(path, hub::missing(path))));
    }
    if !path.is_dir() {
        return Err(not(path, of_file(path)));
    }
    hub::reject_cache(path)
}

/// The error of a path that is no checkpoint.
fn not(path: &Path, reason: String) -> ExportError {
    ExportError::NotACheckpoint { path: path.into(), reason }
}

/// What a file is that was given instead of a folder.
fn of_file(path: &Path) -> String {
    if has_extension(path, "gguf") {
        return formats::GGUF.into();
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => format!("this is a file: give its folder, {}", folder.display()),
        None => "this is a file: give its folder".into(),
    }
}

/// Whether a name ends with an extension, in lower case or not.
fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

/// The names in a folder, in order; those that are not UTF-8, and all of a folder that cannot be read, are left out.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_with_the_folder_to_give() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("model.safetensors");
        fs::write(&file, "").unwrap();
        let message = checkpoint(&file).unwrap_err().to_string();
        let expected = format!("this is a file: give its folder, {}", root.path().display());
        assert!(message.ends_with(&expected), "{message}");
        let gguf = root.path().join("model.Q4_K_M.GGUF");
        fs::write(&gguf, "GGUF").unwrap();
        let message = checkpoint(&gguf).unwrap_err().to_string();
        assert!(message.contains("llama.cpp"), "{message}");
    }
}
