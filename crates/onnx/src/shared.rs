//! Parts that a model and its sampler layers share.

use std::path::PathBuf;

use conjoint_core::Vocabulary;
use conjoint_format::Manifest;

use crate::error::Error;
use crate::grouping::{Costs, LaneSize};
use crate::head::Head;
use crate::packing::CallSize;
use crate::session::Opener;
use crate::stats::Clock;

/// Parts that a model and its sampler layers share.
pub(crate) struct Shared {
    /// The model's folder, named in errors.
    pub folder: PathBuf,
    pub opener: Opener,
    pub manifest: Manifest,
    pub vocabulary: Vocabulary,
    pub head: Head,
    /// Time of full forward passes.
    pub forwards: Clock,
    /// Time of sampler passes.
    pub passes: Clock,
    /// Time of fetching whole rows.
    pub fetches: Clock,
}

impl Shared {
    /// The calls of the backbone that compute these lanes, each with the indices of its lanes. A device gets one call, in
    /// which its cores work at once.
    pub fn calls(&self, lanes: &[LaneSize]) -> Vec<Vec<usize>> {
        match self.opener.is_device() {
            true => vec![(0..lanes.len()).collect()],
            false => Costs::of(&self.manifest).calls(lanes),
        }
    }

    /// Rejects a forward pass that needs more memory than is available.
    pub fn check_memory(&self, size: CallSize) -> Result<(), Error> {
        let CallSize { rows, lanes, slots, keys } = size;
        let needed = self.manifest.scratch_of(rows, [lanes, slots, keys]);
        let error =
            |available| Error::ForwardMemory { batch: lanes, length: keys, needed, available };
        self.opener.check_memory(needed, error)
    }

    /// Rejects a cache of this many bytes if they are not available.
    pub fn check_cache(&self, needed: u64) -> Result<(), Error> {
        self.opener.check_memory(needed, |available| Error::CacheMemory { needed, available })
    }
}
