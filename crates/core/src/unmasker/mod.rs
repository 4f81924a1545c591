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

use std::sync::Arc;

use crate::{Error, SamplerLayer};

mod adaptive_joint;
mod before;
mod clipped_joint;
mod confidence;
mod copula;
mod demask;
mod dilated;
mod edit_threshold;
mod energy_resampling;
mod exact_sequential;
mod keep_best;
mod klass;
mod learned_joint;
mod local_autoregression;
mod marginal;
mod origin;
mod path_planning;
mod prefix_acceptance;
mod rcr;
mod remdm;
mod retold;
mod slow_fast;
mod view;
mod wino;

pub use adaptive_joint::{AdaptiveJoint, Bound};
pub(crate) use before::Question;
pub use before::{Before, Turn};
pub use clipped_joint::ClippedJoint;
pub use confidence::{Confidence, Score};
pub use copula::Copula;
pub use demask::Demask;
pub use dilated::Dilated;
pub use edit_threshold::EditThreshold;
pub use energy_resampling::EnergyResampling;
pub use exact_sequential::ExactSequential;
pub use klass::Klass;
pub use learned_joint::LearnedJoint;
pub use local_autoregression::LocalAutoregression;
pub use marginal::Marginal;
pub use origin::Origin;
pub use path_planning::PathPlanning;
pub use prefix_acceptance::PrefixAcceptance;
pub use rcr::Rcr;
pub use remdm::ReMdm;
pub use retold::Retold;
pub use slow_fast::SlowFast;
pub use view::{Candidate, Drawn, View};
pub(crate) use view::{Parts, Shown, Sight, Stop, Work};
pub use wino::Wino;

/// What happens after a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The denoising step is over: the next rows come from a full forward.
    EndStep,
    /// Run the sampler layer on the canvas with the tokens just revealed, and ask again.
    Refine,
    /// The step is over and has revealed nothing, on purpose. Only while a finite schedule has steps
    /// left, so that no strategy can loop for ever.
    Wait,
    /// The step is over, and the block stays even if it is full now, so that its tokens can be looked at
    /// once more. A step of a full block must change a token to hold it again; a block that is not full
    /// stays anyway.
    Hold,
}

/// Decides for one sequence.
///
/// The generator clones the strategy once a sequence, so a strategy may remember what it likes in
/// its own fields. In every denoising step it is first asked what it wants to know
/// ([`prepare`](Self::prepare)), then to decide, with the rows of the full forward, and again after each
/// sampler pass it asks for. It must reveal at least one token each time, or [wait](Next::Wait); after a
/// sampler pass, and in a full block that it has [held](Next::Hold), it may also [end the
/// step](Next::EndStep) as it is.
pub trait Unmasker: Send + Sync {
    /// Before the forward of a step: asks for rows beside those of the masked positions, or says that
    /// the step needs none. By default it asks for nothing, and a step for which the schedule plans no
    /// token is idle.
    ///
    /// # Errors
    /// The strategy cannot work with this schedule or canvas.
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        Ok(before.planned())
    }

    /// Looks at the masked rows, records reveals (and remasks) on the view, and says what next.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error>;

    /// The sampler layer that [`Next::Refine`] runs. Sequences of a batch whose strategies hold the
    /// same one share its passes.
    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        None
    }

    /// Whether it reads most rows whole ([`View::filtered`], [`View::logits`]), so that a model should
    /// answer dense rows rather than [condensed](crate::condensed) ones. It may read them whole either way: this only
    /// saves fetching them one by one.
    fn whole_rows(&self) -> bool {
        false
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
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        (**self).prepare(before)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        (**self).decide(view)
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        (**self).sampler_layer()
    }

    fn whole_rows(&self) -> bool {
        (**self).whole_rows()
    }
}
