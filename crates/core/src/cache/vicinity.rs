use super::refresh::{Refresh, refresh_every};
use super::{CachePolicy, CacheView, Recompute};

/// Caches all positions that are further than a distance from the current block: the vicinity refresh of dInfer.
///
/// The first forward of a block computes all positions. Each later one computes the open positions of the block,
/// up to `reach` positions on either side of them, and those that have changed. With a reach of 0 this is
/// [`Dual`](super::Dual).
///
/// **Exactness.** As for [`Dual`](super::Dual), with fewer stale positions. Exact as well if the reach covers the
/// sequence.
///
/// Source: dInfer (arXiv 2510.08666), `VicinityCacheIteration` of `inclusionAI/dInfer`; its README uses 16
/// positions on either side. dInfer also runs the first forwards of a sequence (4 there) without a cache.
#[doc(alias = "vicinity refresh")]
#[doc(alias = "dInfer")]
#[derive(Debug, Clone)]
pub struct Vicinity {
    reach: usize,
    refresh: Refresh,
}

impl Vicinity {
    /// Creates a cache that leaves out `reach` positions on either side of the current block.
    pub fn new(reach: usize) -> Self {
        Self { reach, refresh: Refresh::default() }
    }

    refresh_every!();
}

impl CachePolicy for Vicinity {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        if self.refresh.is_due(sequence) {
            return Recompute::All;
        }
        let open = sequence.open_positions();
        let end = open.end.saturating_add(self.reach).min(sequence.canvas.len());
        sequence.with_changed(open.start.saturating_sub(self.reach)..end)
    }

    fn is_exact(&self) -> bool {
        self.refresh.is_always_due()
    }
}
