//! Trajectories in blocks, from left to right.

use conjoint_core::Generator;

use crate::error::Error;
use crate::settings::FolderSettings;

/// Checks the length of a block.
pub(super) fn block_length(length: usize) -> Result<usize, Error> {
    match length {
        0 => Err(Error::parameter("block length", length, "at least 1")),
        length => Ok(length),
    }
}

/// The generator in blocks of this length, if there is one.
pub(super) fn in_blocks(generator: Generator, length: Option<usize>) -> Result<Generator, Error> {
    let Some(length) = length else { return Ok(generator) };
    let rejected = |_| Error::parameter("block length", length, "at least 1");
    generator.block_length(length).map_err(rejected)
}

/// The settings with the length of a block. Without blocks there is no such setting, so that folders of earlier versions
/// can be resumed.
pub(super) fn with_blocks(settings: FolderSettings, length: Option<usize>) -> FolderSettings {
    match length {
        None => settings,
        Some(length) => settings.with("block length", length),
    }
}
