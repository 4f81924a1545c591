//! Trajectories in blocks, from left to right.

use conjoint_core::Generator;

use crate::error::Error;

/// Checks the length of a block.
pub(super) fn block_length(block: usize) -> Result<usize, Error> {
    if block == 0 {
        return Err(Error::parameter("block length", block, "at least 1"));
    }
    Ok(block)
}

/// The generator in blocks of this length, if there is one.
pub(super) fn in_blocks(generator: Generator, length: Option<usize>) -> Result<Generator, Error> {
    let Some(length) = length else { return Ok(generator) };
    let rejected = |_| Error::parameter("block length", length, "at least 1");
    generator.block_length(length).map_err(rejected)
}
