//! Cache policies: select which positions of a sequence a forward computes again.
//!
//! A model with a key-value cache keeps the keys and values of every position from earlier forwards. A forward
//! then computes some positions only, and they attend to the cached keys and values of the others. A cache
//! policy decides which. It belongs to the model's [session](crate::denoiser::Session), not to a strategy: the
//! roles of a step do not change.
//!
//! | policy | what a forward computes | exact |
//! |---|---|---|
//! | [`Prefix`] | the current block and everything after it | no |
//! | [`Dual`] | the current block | no |
//! | [`Vicinity`] | the current block, and the positions within a distance of it | no |
//! | [`Delayed`] | masked positions, and tokens that were revealed lately | no |
//! | [`BlockCausal`] | what a change can reach in a model with block-causal attention | yes |
//!
//! The first four compute all positions at the start of each block, and optionally in every n-th forward. Cached
//! keys and values become stale in between: they belong to the tokens of their last forward, and in all layers
//! but the first also depend on the tokens around them. No policy of this module leaves a position stale whose
//! own token has changed.
//!
//! A session keeps the policies of its sequences in a [`Planner`].

use std::ops::Range;

use crate::Canvas;
use crate::denoiser::Changed;

mod block_causal;
mod delayed;
mod dual;
mod planner;
mod prefix;
mod refresh;
mod vicinity;

pub use block_causal::BlockCausal;
pub use delayed::Delayed;
pub use dual::Dual;
pub use planner::{Plan, Planner};
pub use prefix::Prefix;
pub use vicinity::Vicinity;

/// What a cache policy sees of a sequence before a forward.
#[derive(Debug, Clone, Copy)]
pub struct CacheView<'a> {
    /// The sequence in its current state.
    pub canvas: &'a Canvas,
    /// The positions whose tokens have changed since the sequence's last forward.
    pub changed: &'a Changed,
    /// For each position, the number of forwards of the sequence since its keys and values were last computed:
    /// 0 if the last forward computed them. `None` if none has.
    pub ages: &'a [Option<u32>],
    /// The positions that the requested rows depend on, ascending. The forward computes them in any case.
    pub required: &'a [usize],
}

impl CacheView<'_> {
    /// The positions of the current block, up to the sequence's end.
    pub fn open_positions(&self) -> Range<usize> {
        self.canvas.open_positions()
    }

    /// Selects `positions` and those that have changed. All positions if the sequence is new.
    pub fn with_changed(&self, positions: Range<usize>) -> Recompute {
        let Changed::Positions(changed) = self.changed else { return Recompute::All };
        let before = changed.iter().copied().filter(|&p| p < positions.start);
        let after = changed.iter().copied().filter(|&p| p >= positions.end.max(positions.start));
        Recompute::Positions(before.chain(positions.clone()).chain(after).collect())
    }
}

/// The positions that a forward computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recompute {
    /// All positions.
    All,
    /// These positions, ascending, each once. The session adds the [required](CacheView::required) ones.
    Positions(Vec<usize>),
}

/// Selects the positions that each forward of a sequence computes again.
///
/// A position that no forward has computed is invisible to the others. The session clones the policy for each
/// sequence, so a policy may keep state of the sequence in its fields.
///
/// The selection contains every open masked position. A policy that leaves out a changed position says so: the
/// others then see the position's old token.
#[doc(alias = "KV cache")]
#[doc(alias = "key-value cache")]
pub trait CachePolicy: Send + Sync {
    /// Selects the positions to compute in the next forward.
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute;

    /// Whether the rows always equal those of a forward without a cache. By default false.
    fn is_exact(&self) -> bool {
        false
    }
}

/// A [`CachePolicy`] that can be cloned as a trait object.
pub trait DynCachePolicy: CachePolicy {
    /// A clone behind a pointer.
    fn boxed(&self) -> Box<dyn DynCachePolicy>;
}

impl<P: CachePolicy + Clone + 'static> DynCachePolicy for P {
    fn boxed(&self) -> Box<dyn DynCachePolicy> {
        Box::new(self.clone())
    }
}

impl CachePolicy for Box<dyn DynCachePolicy> {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        (**self).select(sequence)
    }

    fn is_exact(&self) -> bool {
        (**self).is_exact()
    }
}

impl Clone for Box<dyn DynCachePolicy> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
