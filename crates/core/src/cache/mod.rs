//! Cache policies: select which positions of a sequence a forward computes again.
//!
//! A model with a key-value cache keeps the keys and values of every position from earlier forwards. A forward
//! then computes some positions only, and they attend to the cached keys and values of the others. A cache
//! policy decides which. It belongs to the model's [session](crate::denoiser::Session), not to a strategy: the
//! roles of a step do not change.

use std::ops::Range;

use crate::Canvas;
use crate::denoiser::Changed;

mod dual;

pub use dual::Dual;

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
}

impl CacheView<'_> {
    /// The positions of the current block, up to the sequence's end.
    pub fn open_positions(&self) -> Range<usize> {
        self.canvas.open_positions()
    }
}

/// The positions that a forward computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recompute {
    /// All positions.
    All,
    /// These positions, ascending, each once. The session adds those that the requested rows depend on.
    Positions(Vec<usize>),
}

/// Selects the positions that each forward of a sequence computes again.
///
/// A position that no forward has computed is invisible to the others. The session clones the policy for each
/// sequence, so a policy may keep state of the sequence in its fields.
#[doc(alias = "KV cache")]
#[doc(alias = "Fast-dLLM")]
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
