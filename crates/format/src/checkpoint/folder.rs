//! The files of a checkpoint's folder, apart from its tensors.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::FormatError;
use crate::names::{CONFIG, INDEX, PICKLED, SINGLE};

/// The pickled weights of a folder that has no other weights.
pub fn find_pickled(folder: &Path) -> Option<PathBuf> {
    let exists = |name: &str| folder.join(name).exists();
    let only_pickled = exists(PICKLED) && !exists(SINGLE) && !exists(INDEX);
    only_pickled.then(|| folder.join(PICKLED))
}

/// Reads a folder's `config.json`.
pub fn read_config(folder: &Path) -> Result<Config, FormatError> {
    let hint = "a checkpoint in the Hugging Face layout has its sizes there";
    Config::read(folder.join(CONFIG), hint)
}

/// Rejects a folder with an adapter. It is part of the model, and no graph applies it.
pub fn reject_adapter(folder: &Path) -> Result<(), FormatError> {
    let names = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];
    match names.map(|name| folder.join(name)).into_iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(FormatError::Adapter { path }),
    }
}
