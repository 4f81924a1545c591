//! Files written whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::flag::BadFlag;

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

/// A checksum of a file's content.
pub fn checksum(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// The folder and the name of a file that `flag` names, once the folder is found to be there.
pub fn place<'a>(flag: &'static str, path: &'a Path) -> Result<(&'a Path, &'a str), BadFlag> {
    let refuse = |reason| BadFlag::new(flag, path.display(), reason);
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| !path.is_dir());
    let name = name.ok_or_else(|| refuse("expected the name of a file".to_owned()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match folder.is_dir() {
        true => Ok((folder, name)),
        false => Err(refuse(format!("there is no folder {}", folder.display()))),
    }
}
