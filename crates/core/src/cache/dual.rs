use std::num::NonZeroU32;

use super::{CachePolicy, CacheView, Recompute};

/// The dual cache of Fast-dLLM (arXiv 2505.22618): the keys and values of the prompt, of the finished blocks and
/// of the masked suffix are cached. Each forward computes the current block only.
///
/// The first forward of a block computes all positions, as does every n-th one after it with
/// [`refresh_every`](Self::refresh_every).
#[derive(Debug, Clone, Default)]
pub struct Dual {
    refresh_every: Option<NonZeroU32>,
    /// The start of the current block, and the number of forwards since all positions were computed.
    block: Option<(usize, u32)>,
}

impl Dual {
    /// A cache that is refreshed at the start of each block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also computes all positions in every n-th forward of a block. With 1, nothing is cached.
    #[must_use]
    pub fn refresh_every(self, forwards: NonZeroU32) -> Self {
        Self { refresh_every: Some(forwards), ..self }
    }
}

impl CachePolicy for Dual {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        let open = sequence.open_positions();
        let (start, forwards) = self.block.unwrap_or((usize::MAX, 0));
        let is_due = self.refresh_every.is_some_and(|every| forwards >= every.get());
        if start != open.start || is_due {
            self.block = Some((open.start, 1));
            return Recompute::All;
        }
        self.block = Some((start, forwards + 1));
        Recompute::Positions(open.collect())
    }
}
