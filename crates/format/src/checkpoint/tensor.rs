//! Tensors in files.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::dtype::DType;
use crate::error::FormatError;

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub name: String,
    /// The `.safetensors` file.
    pub file: PathBuf,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

impl Tensor {
    /// Whether two tensors have the same type and bytes. Reads them piece by piece.
    pub fn equals(&self, other: &Self) -> Result<bool, FormatError> {
        if (self.dtype, self.length) != (other.dtype, other.length) {
            return Ok(false);
        }
        let (mut own, mut others) = (self.reader()?, other.reader()?);
        let (mut piece, mut other_piece) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let mut left = self.length;
        while left > 0 {
            let count = left.min(piece.len() as u64) as usize;
            own.read_exact(&mut piece[..count]).map_err(FormatError::io("read", &self.file))?;
            let read = others.read_exact(&mut other_piece[..count]);
            read.map_err(FormatError::io("read", &other.file))?;
            if piece[..count] != other_piece[..count] {
                return Ok(false);
            }
            left -= count as u64;
        }
        Ok(true)
    }

    /// Opens the file at the tensor's first byte.
    pub fn reader(&self) -> Result<File, FormatError> {
        open_at(&self.file, self.offset)
    }
}

/// A reader of a tensor whose type is not a float.
#[derive(Debug)]
pub struct RawTensor {
    path: PathBuf,
    file: BufReader<File>,
}

impl RawTensor {
    /// Opens a file at the tensor's first byte.
    pub(super) fn open(path: PathBuf, offset: u64) -> Result<Self, FormatError> {
        let file = BufReader::new(open_at(&path, offset)?);
        Ok(Self { path, file })
    }

    /// Reads the next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FormatError> {
        self.file.read_exact(bytes).map_err(FormatError::io("read", &self.path))
    }
}

/// Opens a file at an offset.
fn open_at(path: &Path, offset: u64) -> Result<File, FormatError> {
    let open = || -> std::io::Result<File> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    };
    open().map_err(FormatError::io("read", path))
}
