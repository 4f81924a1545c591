//! Atomic writes, and checksums of files.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Error;

/// Writes a file of this name into a folder atomically: to a temporary file, which is then renamed.
///
/// # Errors
/// [`Error::Io`].
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let target = folder.join(name);
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(Error::io("write to", folder))?;
    file.write_all(bytes).map_err(Error::io("write", &target))?;
    file.persist(&target).map_err(|error| Error::io("write", &target)(error.error))?;
    Ok(())
}

/// The SHA-256 checksum of a file's content.
///
/// # Errors
/// The operating system's error.
pub fn checksum(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}
