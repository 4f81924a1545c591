use super::refresh::{Refresh, refresh_every};
use super::{CachePolicy, CacheView, Recompute};

/// Caches the prompt, the finished blocks and everything after the current block: the dual cache of Fast-dLLM.
///
/// The first forward of a block computes all positions. Each later one computes the open positions of the block,
/// and those that have changed. A token after the sequence's [end](crate::Canvas::end) is computed once when it is
/// revealed, and then stays cached.
///
/// **Exactness.** Not exact: the cached positions do not see the tokens revealed since the block started. Exact if
/// every block takes one forward, or if the block is the whole sequence.
///
/// Source: Fast-dLLM (arXiv 2505.22618), `generate_with_dual_cache` of `NVlabs/Fast-dLLM`. The refresh within a
/// block is that of `inclusionAI/dInfer`.
#[doc(alias = "dual cache")]
#[derive(Debug, Clone, Default)]
pub struct Dual {
    refresh: Refresh,
}

impl Dual {
    /// Creates a cache that is refreshed at the start of each block.
    pub fn new() -> Self {
        Self::default()
    }

    refresh_every!();
}

impl CachePolicy for Dual {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        if self.refresh.is_due(sequence) {
            return Recompute::All;
        }
        sequence.with_changed(sequence.open_positions())
    }

    fn is_exact(&self) -> bool {
        self.refresh.is_always_due()
    }
}
