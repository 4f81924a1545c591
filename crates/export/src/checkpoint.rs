//! A folder of `.safetensors` files as one set of named tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};
use serde::Deserialize;

use crate::config::Config;
use crate::error::ExportError;
use crate::header::Header;
use crate::layout::CONVERTED;
use crate::manifest::{DType, is_plain_name};
use crate::pickle::PICKLED;
use crate::quantised;

/// Name of a checkpoint's only weight file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// Name of the file that says which shard holds which tensor.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// A tensor as it lies in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// The `.safetensors` file.
    pub(crate) file: PathBuf,
    /// First byte in the file.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) length: u64,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
}

impl Tensor {
    /// Whether two tensors have the same type and bytes, read piece by piece.
    pub(crate) fn equals(&self, other: &Self) -> Result<bool, ExportError> {
        if (self.dtype, self.length) != (other.dtype, other.length) {
            return Ok(false);
        }
        let (mut own, mut others) = (self.reader()?, other.reader()?);
        let (mut piece, mut other_piece) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let mut left = self.length;
        while left > 0 {
            let count = left.min(piece.len() as u64) as usize;
            own.read_exact(&mut piece[..count]).map_err(ExportError::io("read", &self.file))?;
            let read = others.read_exact(&mut other_piece[..count]);
            read.map_err(ExportError::io("read", &other.file))?;
            if piece[..count] != other_piece[..count] {
                return Ok(false);
            }
            left -= count as u64;
        }
        Ok(true)
    }

    /// The file at the tensor's first byte.
    pub(crate) fn reader(&self) -> Result<File, ExportError> {
        open_at(&self.file, self.offset)
    }
}

/// The bytes of a tensor of another type than weights have, from its first on.
#[derive(Debug)]
pub(crate) struct RawTensor {
    path: PathBuf,
    file: BufReader<File>,
}

impl RawTensor {
    /// The next bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ExportError> {
        self.file.read_exact(bytes).map_err(ExportError::io("read", &self.path))
    }
}

/// A file at one of its bytes.
fn open_at(path: &Path, offset: u64) -> Result<File, ExportError> {
    let open = || -> std::io::Result<File> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    };
    open().map_err(ExportError::io("read", path))
}

/// The tensors of a checkpoint that have not been claimed yet.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    folder: PathBuf,
    unclaimed: Tensors,
    /// Entries of the files' metadata, with the file.
    metadata: Entries,
}

/// By name: the file, where its tensors begin in it, and the tensor's entry in its header.
type Tensors = BTreeMap<String, (PathBuf, u64, TensorInfo)>;

impl Checkpoint {
    /// Reads the headers of all weight files in a folder; of pickled weights, those of the file that an export made of them.
    pub(crate) fn open(folder: &Path) -> Result<Self, ExportError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Self::of(folder, &single);
        }
        if find_pickled(folder).is_some() {
            let converted = folder.join(CONVERTED);
            let hint = "export the checkpoint first, which makes it of pytorch_model.bin";
            return match converted.exists() {
                true => Self::of(folder, &converted),
                false => Err(ExportError::MissingFile { path: converted, hint }),
            };
        }
        let mut metadata = BTreeMap::new();
        let unclaimed = read_shards(folder, &mut metadata)?;
        Ok(Self { folder: folder.into(), unclaimed, metadata })
    }

    /// Reads the header of a file that holds all tensors of the checkpoint in a folder.
    pub(crate) fn of(folder: &Path, file: &Path) -> Result<Self, ExportError> {
        let mut metadata = BTreeMap::new();
        let unclaimed = read_single(file, &mut metadata)?;
        Ok(Self { folder: folder.into(), unclaimed, metadata })
    }

    /// Reads the header of one weight file.
    pub(crate) fn open_file(file: &Path) -> Result<Self, ExportError> {
        Self::of(file.parent().unwrap_or(file), file)
    }

    /// An entry of the files' metadata, and the file that has it.
    pub(crate) fn metadata(&self, key: &str) -> Option<(&Path, &str)> {
        self.metadata.get(key).map(|(file, value)| (file.as_path(), value.as_str()))
    }

    /// The folder that it was read from.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of the tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.unclaimed.keys().map(String::as_str)
    }

    /// Rejects the tensors of a quantised model.
    pub(crate) fn reject_quantised(&self) -> Result<(), ExportError> {
        match self.unclaimed.iter().find(|(name, _)| quantised::is_part(name)) {
            None => Ok(()),
            Some((name, (file, ..))) => {
                let found = format!("tensor {name}");
                Err(ExportError::Quantised { path: file.clone(), found })
            }
        }
    }

    /// Whether a tensor is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.unclaimed.contains_key(name)
    }

    /// Claims a tensor, which must have this shape and a float type.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ExportError> {
        let (file, data, info) = self.claim(name, shape)?;
        let dtype = match info.dtype {
            Dtype::F32 => DType::Float32,
            Dtype::F16 => DType::Float16,
            Dtype::BF16 => DType::BFloat16,
            other => {
                let (name, got) = (name.into(), other.to_string());
                return Err(ExportError::TensorType { path: file, name, got });
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

    /// Claims a tensor of another type than weights have.
    pub(crate) fn take_raw(
        &mut self,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
    ) -> Result<RawTensor, ExportError> {
        let (path, data, info) = self.claim(name, shape)?;
        if info.dtype != dtype {
            let (name, got) = (name.into(), info.dtype.to_string());
            return Err(ExportError::TensorType { path, name, got });
        }
        let file = open_at(&path, data + info.data_offsets.0 as u64)?;
        Ok(RawTensor { path, file: BufReader::new(file) })
    }

    /// A tensor's file, the start of the tensors in it, and its entry.
    fn claim(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<(PathBuf, u64, TensorInfo), ExportError> {
        let Some((file, data, info)) = self.unclaimed.remove(name) else {
            let end = format!(".{name}");
            let prefixed = self.names().find(|other| other.ends_with(&end));
            return Err(ExportError::MissingTensor {
                path: self.folder.clone(),
                name: name.into(),
                expected: shape.into(),
                prefixed: prefixed.map(Into::into),
            });
        };
        if info.shape != shape {
            return Err(ExportError::TensorShape {
                path: file,
                name: name.into(),
                expected: shape.into(),
                got: info.shape,
            });
        }
        Ok((file, data, info))
    }

    /// Refuses the checkpoint if an unclaimed tensor is one that matters.
    pub(crate) fn refuse_unclaimed(
        &self,
        matters: impl Fn(&str) -> bool,
    ) -> Result<(), ExportError> {
        match self.unclaimed.iter().find(|(name, _)| matters(name)) {
            None => Ok(()),
            Some((name, (file, ..))) => {
                Err(ExportError::UnexpectedTensor { path: file.clone(), name: name.clone() })
            }
        }
    }
}

/// Entries of metadata: the file, and the value.
type Entries = BTreeMap<String, (PathBuf, String)>;

/// All tensors of one file.
fn read_single(file: &Path, metadata: &mut Entries) -> Result<Tensors, ExportError> {
    let header = Header::read(file)?;
    let entries = header.metadata.metadata().iter().flatten();
    metadata.extend(entries.map(|(key, value)| (key.clone(), (file.into(), value.clone()))));
    let tensors = header.metadata.tensors().into_iter();
    Ok(tensors.map(|(name, info)| (name, (file.into(), header.data, info.clone()))).collect())
}

/// The tensors that an index names, each from the shard that the index gives for it.
fn read_shards(folder: &Path, metadata: &mut Entries) -> Result<Tensors, ExportError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let path = folder.join(INDEX);
    if !path.exists() {
        return Err(ExportError::MissingFile {
            path: folder.join(SINGLE),
            hint: "the weights are read from it, or from the shards that a \
                   model.safetensors.index.json names, or from one pytorch_model.bin; other \
                   formats, and pickled weights in several files, have to be converted first",
        });
    }
    let text = std::fs::read(&path).map_err(ExportError::io("read", &path))?;
    let Index { weight_map } = serde_json::from_slice(&text).map_err(ExportError::json(&path))?;

    let invalid = |reason| ExportError::Shard { path: path.clone(), reason };
    let mut shards = BTreeMap::new();
    for shard in weight_map.values() {
        if shards.contains_key(shard) {
            continue;
        }
        if !is_plain_name(shard) {
            return Err(invalid(format!("shard {shard} is not a file name of this folder")));
        }
        let file = folder.join(shard);
        if !file.exists() {
            return Err(invalid(format!(
                "shard {shard} is missing from the folder: the download is not finished, or the file was lost; fetch it again"
            )));
        }
        shards.insert(shard.clone(), read_single(&file, metadata)?);
    }
    let mut tensors = Tensors::new();
    for (name, shard) in weight_map {
        let found = shards.get_mut(&shard).and_then(|tensors| tensors.remove(&name));
        let tensor =
            found.ok_or_else(|| invalid(format!("shard {shard} does not hold tensor {name}")))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The pickled weights of a folder without others.
pub(crate) fn find_pickled(folder: &Path) -> Option<PathBuf> {
    let is_there = |name: &str| folder.join(name).exists();
    let only = is_there(PICKLED) && !is_there(SINGLE) && !is_there(INDEX);
    only.then(|| folder.join(PICKLED))
}

/// Reads a folder's `config.json`.
pub(crate) fn read_config(folder: &Path) -> Result<Config, ExportError> {
    let hint = "a checkpoint in the Hugging Face layout has its sizes there";
    Config::read(folder.join("config.json"), hint)
}

/// Rejects a folder with an adapter: it is part of the model, and no graph applies it.
pub(crate) fn reject_adapter(folder: &Path) -> Result<(), ExportError> {
    let names = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];
    match names.map(|name| folder.join(name)).into_iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(ExportError::Adapter { path }),
    }
}
