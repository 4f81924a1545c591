//! Files that are either the old one or the new one, never half of it.

use std::io::Write;
use std::path::Path;

use crate::TrainError;

/// Writes `content` to `path` through a temporary file beside it.
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
