//! What tells one weight file from another without reading all of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ExportError;

/// How much of a file its checksum covers, in bytes: the header and the first weights, which any
/// training changes.
const CHECKED: u64 = 1 << 20;

/// A weight file: its name, its size, and a checksum of its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// Path relative to the model's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the first mebibyte, in hexadecimal.
    pub sha256: String,
}

impl WeightFile {
    /// Describes the file at `path` under this name.
    ///
    /// # Errors
    ///
    /// [`ExportError::Io`] if it cannot be read.
    pub fn of(path: &Path, name: String) -> Result<Self, ExportError> {
        let read = || -> std::io::Result<(u64, Vec<u8>)> {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            let mut start = Vec::new();
            file.take(CHECKED).read_to_end(&mut start)?;
            Ok((bytes, start))
        };
        let (bytes, start) = read().map_err(ExportError::io("read", path))?;
        Ok(Self { name, bytes, sha256: format!("{:x}", Sha256::digest(&start)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_beginning_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            WeightFile::of(&path, "a".into()).unwrap()
        };
        let empty = of(b"");
        // The checksum of nothing, as FIPS 180-4 gives it.
        assert!(empty.sha256.starts_with("e3b0c44298fc1c149afbf4c8996fb924"), "{empty:?}");
        assert_ne!(of(b"weights"), of(b"Weights"));
        let long = vec![7; CHECKED as usize];
        assert_eq!(of(&long).sha256, of(&[&long[..], &[1]].concat()).sha256);
        assert_ne!(of(&long), of(&[&long[..], &[1]].concat()));
    }
}
