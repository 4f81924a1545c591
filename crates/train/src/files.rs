//! Reading and writing the files of a run's folder.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TrainError;

/// Replaces the file `path` by `content` atomically, through a temporary file beside it.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), TrainError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(TrainError::io("create", folder))?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default, and these become ordinary files.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file =
        builder.tempfile_in(folder).map_err(TrainError::io("create a file in", folder))?;
    file.write_all(content).map_err(TrainError::io("write", path))?;
    file.persist(path).map_err(|e| TrainError::io("write", path)(e.error))?;
    Ok(())
}

/// Reads the JSON file `path`.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let json = std::fs::read(path).map_err(TrainError::io("read", path))?;
    serde_json::from_slice(&json).map_err(|e| TrainError::malformed(path, e))
}

/// Serialises `value` for the JSON file `path`.
pub(crate) fn json_bytes(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, TrainError> {
    serde_json::to_vec_pretty(value).map_err(|e| TrainError::malformed(path, e))
}
