//! The tensors of one weight file, or of the shards of an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use crate::error::FormatError;
use crate::header::Header;
use crate::names::{INDEX, SINGLE, is_plain_name};

/// By name: the file, the offset of its first tensor, and the tensor's entry in its header.
pub(super) type Tensors = BTreeMap<String, (PathBuf, u64, TensorInfo)>;

/// Entries of the files' metadata: the file and the value.
pub(super) type Metadata = BTreeMap<String, (PathBuf, String)>;

/// Reads the header of one file: all its tensors.
pub(super) fn read_single(file: &Path, metadata: &mut Metadata) -> Result<Tensors, FormatError> {
    let header = Header::read(file)?;
    let entries = header.metadata.metadata().iter().flatten();
    metadata.extend(entries.map(|(key, value)| (key.clone(), (file.into(), value.clone()))));
    let tensors = header.metadata.tensors().into_iter();
    Ok(tensors.map(|(name, info)| (name, (file.into(), header.data, info.clone()))).collect())
}

/// Reads the index of a folder and the headers of its shards: the tensors that the index lists, each from its
/// shard.
pub(super) fn read_shards(folder: &Path, metadata: &mut Metadata) -> Result<Tensors, FormatError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let path = folder.join(INDEX);
    if !path.exists() {
        return Err(FormatError::MissingFile {
            path: folder.join(SINGLE),
            hint: "weights are read from this file, from the shards that a model.safetensors.index.json lists, or from one \
                   pytorch_model.bin; other formats, and pickled weights in several files, must be converted first",
        });
    }
    let text = std::fs::read(&path).map_err(FormatError::io("read", &path))?;
    let Index { weight_map } = serde_json::from_slice(&text).map_err(FormatError::json(&path))?;

    let invalid = |reason| FormatError::Shard { path: path.clone(), reason };
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
            return Err(invalid(format!("shard {shard} is missing from the folder")));
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
