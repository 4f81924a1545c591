//! Comparison of the contents of two files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use conjoint_format::FormatError;

/// Whether two files have the same content. Two paths to the same file are not read.
pub(super) fn same_content(a: &Path, b: &Path) -> Result<bool, FormatError> {
    let metadata = |path: &Path| fs::metadata(path).map_err(FormatError::io("read", path));
    let (a_data, b_data) = (metadata(a)?, metadata(b)?);
    if a_data.len() != b_data.len() {
        return Ok(false);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (a_data.dev(), a_data.ino()) == (b_data.dev(), b_data.ino()) {
            return Ok(true);
        }
    }
    let open = |path: &Path| File::open(path).map_err(FormatError::io("read", path));
    let (mut a_file, mut b_file) = (open(a)?, open(b)?);
    let (mut a_chunk, mut b_chunk) = (Vec::new(), Vec::new());
    loop {
        read_chunk(&mut a_file, &mut a_chunk).map_err(FormatError::io("read", a))?;
        read_chunk(&mut b_file, &mut b_chunk).map_err(FormatError::io("read", b))?;
        if a_chunk != b_chunk {
            return Ok(false);
        }
        if a_chunk.is_empty() {
            return Ok(true);
        }
    }
}

/// Reads the next MiB of a file, or its rest.
fn read_chunk(file: &mut File, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    file.take(1 << 20).read_to_end(chunk).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_compared_beyond_the_first_chunk() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        let mut bytes = vec![7; (1 << 20) + 5];
        fs::write(&a, &bytes).unwrap();
        fs::write(&b, &bytes).unwrap();
        assert!(same_content(&a, &b).unwrap());
        bytes[(1 << 20) + 4] = 8;
        fs::write(&b, &bytes).unwrap();
        assert!(!same_content(&a, &b).unwrap());
    }
}
