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

    /// Rejects a forward pass of these calls if it needs more memory than is available. Attention takes that of its
    /// largest call. The rows of all calls are kept together.
    pub fn check_memory(&self, calls: impl IntoIterator<Item = CallSize>) -> Result<(), Error> {
        let (mut batch, mut length, mut all, mut largest) = (0, 0, 0, [0; 3]);
        for CallSize { rows, lanes, slots, keys } in calls {
            all += rows;
            batch += lanes;
            length = length.max(keys);
            let size = [lanes, slots, keys];
            largest = [largest, size].into_iter().max_by_key(volume).unwrap_or(size);
        }
        let needed = self.manifest.scratch_of(all, largest);
        let error = |available| Error::ForwardMemory { batch, length, needed, available };
        self.opener.check_memory(needed, error)
    }

    /// Rejects a cache of this many bytes if they are not available.
    pub fn check_cache(&self, needed: u64) -> Result<(), Error> {
        self.opener.check_memory(needed, |available| Error::CacheMemory { needed, available })
    }
}

/// The number of queries and keys in all lanes.
fn volume(size: &[usize; 3]) -> usize {
    size.iter().fold(1, |product, &factor| product.saturating_mul(factor))
}
