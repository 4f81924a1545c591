use std::ops::Range;
use std::sync::Arc;

use conjoint_core::{Denoiser, Observer};

use crate::error::Error;
use crate::settings::FolderSettings;
use crate::trajectory::Trajectory;

/// A numbered series of trajectories. Each depends only on the model, the settings and its index.
pub trait Source {
    /// The settings that the trajectories depend on, except for the model.
    fn settings(&self) -> FolderSettings;

    /// The number of trajectories, or `None` if there is no limit.
    fn len(&self) -> Option<u64>;

    /// Whether the source is empty.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The number of positions that trajectory `index` reveals.
    fn reveals(&self, index: u64) -> usize;

    /// Makes the trajectories of these indices, with forward passes of up to `batch` sequences, and reports every event
    /// to `observer`. Sequence 0 is the first index.
    ///
    /// # Errors
    /// [`Error::Generation`] if the model fails, and [`Error::Parameter`] if `batch` is 0.
    fn make(
        &self,
        model: &Arc<dyn Denoiser>,
        indices: Range<u64>,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Trajectory>, Error>;
}
