//! Names in folders, and the error of all detections.

use std::fs;
use std::path::Path;

use crate::error::FormatError;

/// The error of a path that does not lead to a checkpoint.
pub(super) fn not_a_checkpoint(path: &Path, reason: String) -> FormatError {
    FormatError::NotACheckpoint { path: path.into(), reason }
}

/// Whether a path has an extension, in lower or upper case.
pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

/// The sorted names in a folder. Leaves out names that are not UTF-8, and all names of an unreadable folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
