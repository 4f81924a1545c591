use super::refresh::{Refresh, refresh_every};
use super::{CachePolicy, CacheView, Recompute};

/// Caches the prompt and the finished blocks: the prefix cache of Fast-dLLM.
///
/// The first forward of a block computes all positions. Each later one computes the block and everything after
/// it, and the positions that have changed.
///
/// With a [`delay`](Self::delay), it is the delayed cache of d3LLM: the tokens of a finished block are computed
/// in some further forwards before they stay cached.
///
/// **Exactness.** Not exact: the cached positions do not see the tokens revealed since the block started. Exact if
/// every block takes one forward, or if no position is before the first block.
///
/// Source: Fast-dLLM (arXiv 2505.22618), `generate_with_prefix_cache` of `NVlabs/Fast-dLLM`. The delay:
/// d3LLM (arXiv 2601.07568), `cache_delay_iter` (1 or 2 in its scripts) and `refresh_interval` of
/// `generate_multi_block_kv_cache` in `hao-ai-lab/d3LLM`. d3LLM caches the finished ones of several open blocks;
/// here the cached prefix ends where the first open block starts.
#[doc(alias = "prefix cache")]
#[doc(alias = "Fast-dLLM")]
#[derive(Debug, Clone, Default)]
pub struct Prefix {
    refresh: Refresh,
}

impl Prefix {
    /// Creates a cache that is refreshed at the start of each block.
    pub fn new() -> Self {
        Self::default()
    }

    refresh_every!();

    /// Computes all positions in this many further forwards at the start of a block. By default 0.
    #[doc(alias = "cache_delay_iter")]
    #[must_use]
    pub fn delay(self, forwards: u32) -> Self {
        Self { refresh: self.refresh.first(forwards.saturating_add(1)) }
    }
}

impl CachePolicy for Prefix {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        if self.refresh.is_due(sequence) {
            return Recompute::All;
        }
        sequence.with_changed(sequence.open_positions().start..sequence.canvas.len())
    }

    fn is_exact(&self) -> bool {
        self.refresh.is_always_due()
    }
}
