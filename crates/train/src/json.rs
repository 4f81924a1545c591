//! JSON files of a run's folder.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrainError;

/// What the file `path` holds.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let json = std::fs::read(path).map_err(TrainError::io("read", path))?;
    serde_json::from_slice(&json).map_err(|e| TrainError::malformed(path, e))
}

/// `value` as the file `path` is to hold it.
pub(crate) fn bytes(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, TrainError> {
    serde_json::to_vec_pretty(value).map_err(|e| TrainError::malformed(path, e))
}
