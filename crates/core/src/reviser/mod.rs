//! Revisers: remask revealed tokens or replace them.
//!
//! A reviser acts once a step, on the rows of the full forward, after the policy has selected and before the
//! unmasker draws. It can remask revealed positions, replace their tokens and change the selection.
//!
//! Two errors detect a run that does not advance:
//! - [`Error::NoProgress`]: a step reveals nothing. It may do so only while the policy has a total number of
//!   steps and some are left.
//! - [`Error::StepLimitExceeded`]: a sequence takes more than 64 steps for each position to generate, beyond
//!   those of its schedule.
//!
//! Strategies that choose and revise positions by one rule are unmaskers:
//! [`PathPlanning`](crate::unmasker::PathPlanning) and the full process of [`ReMdm`](crate::unmasker::ReMdm).

use crate::{Error, StepRequest};

mod edit;
mod hierarchical;
mod rcr;
mod remdm;
pub(crate) mod remdm_rule;
mod revision;
mod saber;
mod wino;

pub use edit::Edit;
pub use hierarchical::Hierarchical;
pub use rcr::Rcr;
pub use remdm::ReMdm;
pub use revision::Revision;
pub use saber::Saber;
pub use wino::Wino;

/// Decides which revealed tokens of a sequence are remasked or replaced.
///
/// The run clones the reviser for each sequence, so a reviser may keep state of the sequence in its fields.
#[doc(alias = "remasking")]
#[doc(alias = "backtracking")]
#[doc(alias = "revocable decoding")]
pub trait Reviser: Send + Sync {
    /// Called before the forward of a step: requests rows, usually those of revealed positions. Not called if
    /// the policy skips the forward. By default it does nothing.
    ///
    /// # Errors
    /// An error if the reviser cannot handle this canvas. The sequence then fails.
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Called after the policy has selected: remasks revealed tokens or replaces them.
    ///
    /// # Errors
    /// Those of the observation, and of [`Revision::draw`].
    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error>;

    /// Called after a token was revealed or replaced. `confidence` is its probability, or the confidence that
    /// the unmasker set when it [drafted](crate::Unmasker::draft).
    fn revealed(&mut self, position: usize, confidence: f64) {
        let _ = (position, confidence);
    }

    /// Whether it makes progress only if all selected positions are revealed. It can then be combined only
    /// with unmaskers that [reveal the selection](crate::Unmasker::reveals_selection).
    fn needs_whole_selection(&self) -> bool {
        false
    }

    /// Whether it requires a policy with a total number of steps.
    fn needs_steps(&self) -> bool {
        false
    }

    /// Whether the reviser reads most rows whole; see
    /// [`Policy::needs_full_rows`](crate::Policy::needs_full_rows).
    fn needs_full_rows(&self) -> bool {
        false
    }

    /// The name in error messages. By default the name of the type.
    fn name(&self) -> &'static str {
        crate::name::short::<Self>()
    }
}

/// A [`Reviser`] that can be cloned as a trait object. Implemented for every `Reviser + Clone`.
pub trait DynReviser: Reviser {
    /// Clones the reviser for another sequence.
    fn boxed(&self) -> Box<dyn DynReviser>;
}

impl<R: Reviser + Clone + 'static> DynReviser for R {
    fn boxed(&self) -> Box<dyn DynReviser> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn DynReviser> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl Reviser for Box<dyn DynReviser> {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        (**self).plan(request)
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        (**self).revise(revision)
    }

    fn revealed(&mut self, position: usize, confidence: f64) {
        (**self).revealed(position, confidence);
    }

    fn needs_whole_selection(&self) -> bool {
        (**self).needs_whole_selection()
    }

    fn needs_steps(&self) -> bool {
        (**self).needs_steps()
    }

    fn needs_full_rows(&self) -> bool {
        (**self).needs_full_rows()
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}
