use std::fs;
use std::path::Path;

use super::error::{TextError, unreadable};

/// Reads a JSON file, if it exists.
pub(super) fn json(folder: &Path, name: &str) -> Result<Option<serde_json::Value>, TextError> {
    let file = folder.join(name);
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
    serde_json::from_str(&text).map(Some).map_err(|error| unreadable(&file, error))
}
