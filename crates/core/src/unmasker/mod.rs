//! One sequence's strategy: which masked positions to reveal, with which tokens, and when to ask
//! the sampler layer for a second opinion.
//!
//! A strategy of one's own is a struct with one method:
//!
//! ```
//! use conjoint_core::{Error, Next, Unmasker, View};
//!
//! /// Reveals the leftmost masked position with its most probable token.
//! #[derive(Clone)]
//! struct Greedy;
//!
//! impl Unmasker for Greedy {
//!     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//!         let drawn = view.draw(0)?;
//!         view.reveal(0, drawn);
//!         Ok(Next::EndStep)
//!     }
//! }
//! ```

use crate::{Error, SamplerLayer};

mod confidence;
mod exact_sequential;
mod learned_joint;
mod marginal;
mod view;

pub use confidence::{Confidence, Score};
pub use exact_sequential::ExactSequential;
pub use learned_joint::LearnedJoint;
pub use marginal::Marginal;
pub use view::{Candidate, Drawn, View};
pub(crate) use view::{Parts, Work};

/// What happens after a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The denoising step is over: the next rows come from a full forward.
    EndStep,
    /// Run the sampler layer on the canvas with the tokens just revealed, and ask again.
    Refine,
}

/// Decides for one sequence.
///
/// The generator clones the strategy once a sequence, so a strategy may remember what it likes in
/// its own fields. In every denoising step it is asked at least once, with the rows of the full
/// forward, and again after each sampler pass it asks for. It must reveal at least one token each
/// time.
pub trait Unmasker: Send + Sync {
    /// Looks at the masked rows, records reveals (and remasks) on the view, and says what next.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error>;

    /// The sampler layer that [`Next::Refine`] runs.
    fn sampler_layer(&self) -> Option<&dyn SamplerLayer> {
        None
    }
}

/// An [`Unmasker`] that can be cloned behind a pointer; every `Unmasker + Clone` is one.
pub trait Strategy: Unmasker {
    /// A copy for one more sequence.
    fn boxed(&self) -> Box<dyn Strategy>;
}

impl<U: Unmasker + Clone + 'static> Strategy for U {
    fn boxed(&self) -> Box<dyn Strategy> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Strategy> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl Unmasker for Box<dyn Strategy> {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        (**self).decide(view)
    }

    fn sampler_layer(&self) -> Option<&dyn SamplerLayer> {
        (**self).sampler_layer()
    }
}
