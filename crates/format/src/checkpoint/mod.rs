//! A folder of `.safetensors` files as one set of named tensors.

mod folder;
mod quantised;
mod shards;
mod tensor;

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};

pub use folder::{find_pickled, read_config, reject_adapter};
pub(crate) use quantised::reject_folder as reject_quantised_folder;
pub use tensor::{RawTensor, Tensor};

use crate::dtype::DType;
use crate::error::FormatError;
use crate::names::{CONVERTED, SINGLE};
use shards::{Metadata, Tensors, read_shards, read_single};

/// The tensors of a checkpoint that have not been taken yet.
///
/// Every tensor that the model uses is taken once. The rest is then checked by
/// [`reject_rest`](Self::reject_rest).
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    rest: Tensors,
    metadata: Metadata,
}

impl Checkpoint {
    /// Reads the headers of all weight files in a folder. For pickled weights, reads the file that an export
    /// converted them to.
    pub fn open(folder: &Path) -> Result<Self, FormatError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Self::open_in(folder, &single);
        }
        if find_pickled(folder).is_some() {
            let converted = folder.join(CONVERTED);
            let hint = "export the checkpoint first, which converts pytorch_model.bin to this file";
            return match converted.exists() {
                true => Self::open_in(folder, &converted),
                false => Err(FormatError::MissingFile { path: converted, hint }),
            };
        }
        let mut metadata = Metadata::new();
        let rest = read_shards(folder, &mut metadata)?;
        Ok(Self { folder: folder.into(), rest, metadata })
    }

    /// Reads the header of `file`, which holds all tensors of the checkpoint in `folder`.
    pub fn open_in(folder: &Path, file: &Path) -> Result<Self, FormatError> {
        let mut metadata = Metadata::new();
        let rest = read_single(file, &mut metadata)?;
        Ok(Self { folder: folder.into(), rest, metadata })
    }

    /// Reads the header of one weight file.
    pub fn open_file(file: &Path) -> Result<Self, FormatError> {
        Self::open_in(file.parent().unwrap_or(file), file)
    }

    /// An entry of the files' metadata, with the file that holds it.
    pub fn metadata(&self, key: &str) -> Option<(&Path, &str)> {
        self.metadata.get(key).map(|(file, value)| (file.as_path(), value.as_str()))
    }

    /// The checkpoint's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of the tensors that have not been taken.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rest.keys().map(String::as_str)
    }

    /// Rejects the tensors of a quantised model.
    pub fn reject_quantised(&self) -> Result<(), FormatError> {
        match self.rest.iter().find(|(name, _)| quantised::is_part(name)) {
            None => Ok(()),
            Some((name, (file, ..))) => {
                let found = format!("tensor {name}");
                Err(FormatError::Quantised { path: file.clone(), found })
            }
        }
    }

    /// Whether a tensor exists and has not been taken.
    pub fn contains(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Takes a tensor, which must have this shape and a float type.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, FormatError> {
        let (file, data, info) = self.take_entry(name, shape)?;
        let dtype = match info.dtype {
            Dtype::F32 => DType::Float32,
            Dtype::F16 => DType::Float16,
            Dtype::BF16 => DType::BFloat16,
            other => {
                let (name, got) = (name.into(), other.to_string());
                return Err(FormatError::TensorType { path: file, name, got });
            }
        };
        let (start, end) = info.data_offsets;
        Ok(Tensor {
            name: name.into(),
            file,
            offset: data + start as u64,
            length: (end - start) as u64,
            dtype,
            shape: info.shape,
        })
    }

    /// Takes a tensor whose type is not a float.
    pub fn take_raw(
        &mut self,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
    ) -> Result<RawTensor, FormatError> {
        let (path, data, info) = self.take_entry(name, shape)?;
        if info.dtype != dtype {
            let (name, got) = (name.into(), info.dtype.to_string());
            return Err(FormatError::TensorType { path, name, got });
        }
        RawTensor::open(path, data + info.data_offsets.0 as u64)
    }

    /// Takes a tensor's file, the offset of the file's first tensor, and the tensor's entry.
    fn take_entry(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<(PathBuf, u64, TensorInfo), FormatError> {
        let Some((file, data, info)) = self.rest.remove(name) else {
            let end = format!(".{name}");
            let prefixed = self.names().find(|other| other.ends_with(&end));
            return Err(FormatError::MissingTensor {
                path: self.folder.clone(),
                name: name.into(),
                expected: shape.into(),
                prefixed: prefixed.map(Into::into),
            });
        };
        if info.shape != shape {
            return Err(FormatError::TensorShape {
                path: file,
                name: name.into(),
                expected: shape.into(),
                got: info.shape,
            });
        }
        Ok((file, data, info))
    }

    /// Rejects the checkpoint if a tensor that has not been taken matters.
    pub fn reject_rest(&self, matters: impl Fn(&str) -> bool) -> Result<(), FormatError> {
        match self.rest.iter().find(|(name, _)| matters(name)) {
            None => Ok(()),
            Some((name, (file, ..))) => {
                Err(FormatError::UnexpectedTensor { path: file.clone(), name: name.clone() })
            }
        }
    }
}
