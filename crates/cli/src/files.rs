//! Files written whole or not at all.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file of this name into a folder: aside, then renamed.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let target = folder.join(name);
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default, and these become ordinary files.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).with_context(|| folder.display().to_string())?;
    file.write_all(bytes).with_context(|| target.display().to_string())?;
    file.persist(&target).with_context(|| target.display().to_string())?;
    Ok(())
}
