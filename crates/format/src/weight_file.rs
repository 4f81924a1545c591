//! Identification of a weight file without reading all of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::FormatError;
use crate::header::Header;

/// Pieces read of each tensor, evenly spread from its first byte to its last.
const PIECES: u64 = 4;
/// Length of a piece, in bytes.
const PIECE: u64 = 4096;

/// A weight file: its name, its size, and a checksum of its header and of a sample of every tensor.
#[doc(alias("safetensors", "checksum", "SHA-256"))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightFile {
    /// Path, relative to the model's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal, of the header and of a sample of every tensor, in the order of the file.
    ///
    /// The sample is four evenly spread pieces of 4 KiB, the first at the tensor's start and the last at its
    /// end. A tensor of at most 16 KiB is included whole.
    pub sha256: String,
}

impl WeightFile {
    /// Reads the `.safetensors` file at `path` and describes it under `name`.
    ///
    /// # Errors
    ///
    /// [`FormatError::Io`] if the file cannot be read; [`FormatError::Header`] and [`FormatError::FileLength`]
    /// if it is damaged.
    pub fn of(path: &Path, name: String) -> Result<Self, FormatError> {
        let header = Header::read(path)?;
        let mut spans: Vec<(u64, u64)> = header
            .metadata
            .tensors()
            .values()
            .map(|tensor| (tensor.data_offsets.0 as u64, tensor.data_offsets.1 as u64))
            .map(|(start, end)| (header.data + start, header.data + end))
            .collect();
        spans.sort_unstable();
        let read = || -> io::Result<(u64, String)> {
            let mut file = File::open(path)?;
            let bytes = file.metadata()?.len();
            let mut sum = Sha256::new();
            let mut add = |start: u64, length: u64| -> io::Result<()> {
                file.seek(SeekFrom::Start(start))?;
                let read = io::copy(&mut (&file).take(length), &mut sum)?;
                if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            };
            add(0, header.data)?;
            for (start, end) in spans {
                match end - start {
                    length if length <= PIECES * PIECE => add(start, length)?,
                    length => {
                        for piece in 0..PIECES {
                            add(start + (length - PIECE) * piece / (PIECES - 1), PIECE)?;
                        }
                    }
                }
            }
            Ok((bytes, format!("{:x}", sum.finalize())))
        };
        let (bytes, sha256) = read().map_err(FormatError::io("read", path))?;
        Ok(Self { name, bytes, sha256 })
    }

    /// Checks that the file of this name in `folder` is still the described one.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), FormatError> {
        let path = folder.join(&self.name);
        match Self::of(&path, self.name.clone()) {
            Ok(now) if now == *self => Ok(()),
            Err(error @ FormatError::Io { .. }) => Err(error),
            // Another file, or one that is damaged now.
            Ok(_) | Err(_) => Err(FormatError::WeightsChanged { path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::{TensorView, serialize_to_file};

    /// A change in any tensor changes the checksum, also beyond the first mebibyte: in a small tensor anywhere,
    /// in a large one at its ends and in the sampled pieces between.
    #[test]
    fn the_checksum_depends_on_every_tensor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let of = |large: &[u8], small: &[u8]| {
            let view = |data| TensorView::new(Dtype::U8, vec![<[u8]>::len(data)], data).unwrap();
            let tensors = [("a", view(large)), ("b", view(small))];
            serialize_to_file(tensors, None, &path).unwrap();
            WeightFile::of(&path, "a".into()).unwrap()
        };
        let (large, small) = (vec![7; 3 << 20], vec![1; 100]);
        let own = of(&large, &small);
        assert_eq!(own, of(&large, &small));
        let changed = |of: &[u8], at: usize| {
            let mut other = of.to_vec();
            other[at] += 1;
            other
        };
        let last_piece = large.len() - PIECE as usize;
        for at in [0, last_piece / 3, last_piece * 2 / 3, large.len() - 1] {
            assert_ne!(own.sha256, of(&changed(&large, at), &small).sha256, "{at}");
        }
        for at in [0, 50, 99] {
            assert_ne!(own.sha256, of(&large, &changed(&small, at)).sha256, "{at}");
        }
    }

    #[test]
    fn a_file_in_another_format_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        std::fs::write(&path, b"weights").unwrap();
        assert!(matches!(WeightFile::of(&path, "a".into()), Err(FormatError::Header { .. })));
    }
}
