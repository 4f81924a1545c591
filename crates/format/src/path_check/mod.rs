//! Checks that a path leads to a checkpoint, before any file is read in detail.
//!
//! Common wrong paths are the name of a model on the Hub, the root of the Hub's cache, a clone without its
//! large files, and a model in another format. Each has an error that says what it is and what to do about it.

mod entries;
mod files;
mod formats;
mod hub;
#[cfg(test)]
mod tests;

use std::path::Path;

pub(crate) use files::dangling;

use crate::checkpoint::reject_quantised_folder;
use crate::error::FormatError;
use entries::{has_extension, not_a_checkpoint};

/// Rejects a path that is recognised as something other than a checkpoint. Other paths are accepted, valid or
/// not.
pub fn check_checkpoint(path: &Path) -> Result<(), FormatError> {
    check_weights(path)?;
    reject_quantised_folder(path)?;
    formats::reject_others(path)
}

/// As [`check_checkpoint`], for a sampler layer's folder, which needs no `config.json`.
pub fn check_weights(path: &Path) -> Result<(), FormatError> {
    check_folder(path)?;
    files::reject_placeholders(path)
}

/// Rejects a path that does not lead to the folder of a model, exported or not.
pub(crate) fn check_folder(path: &Path) -> Result<(), FormatError> {
    if !path.exists() {
        return Err(dangling(path).unwrap_or_else(|| not_a_checkpoint(path, hub::missing(path))));
    }
    if !path.is_dir() {
        return Err(not_a_checkpoint(path, file_given(path)));
    }
    hub::reject_cache(path)
}

/// The reason for rejecting a file given instead of a folder.
fn file_given(path: &Path) -> String {
    if has_extension(path, "gguf") {
        return formats::GGUF.into();
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => format!("this is a file: give its folder, {}", folder.display()),
        None => "this is a file: give its folder".into(),
    }
}
