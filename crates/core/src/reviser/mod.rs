//! What is taken back: revisers look again at the tokens that are revealed already.
//!
//! A reviser acts once a step, on the rows of the full forward, after the policy has selected and before the unmasker
//! draws. It may mask revealed positions again, replace their tokens, and change the selection. A step without a reveal is
//! [`Error::NoProgress`], unless the policy has a total of steps and some are left. A sequence that masks as much as it
//! reveals fails with [`Error::StepLimitExceeded`] after 64 steps for each of its positions.
//!
//! Strategies whose revision cannot be told apart from their choice of positions are unmaskers:
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

/// Decides for one sequence which revealed tokens are taken back.
///
/// The run clones the reviser once a sequence, so a reviser may keep what it likes in its own fields.
pub trait Reviser: Send + Sync {
    /// Before the forward of a step: asks for rows, usually those of revealed positions. Not called where the policy
    /// skips the forward. By default for none.
    ///
    /// # Errors
    /// The reviser cannot work with this canvas.
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// After the policy has selected: records what is masked again or replaced.
    ///
    /// # Errors
    /// Those of the observation, and of [`Revision::draw`].
    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error>;

    /// A token was revealed or replaced; `confidence` is its probability, or what the unmasker
    /// [drafted](crate::Unmasker::draft).
    fn revealed(&mut self, position: usize, confidence: f64) {
        let _ = (position, confidence);
    }

    /// Whether it gets somewhere only if all selected positions are revealed. It then goes only with unmaskers that
    /// [do that](crate::Unmasker::reveals_selection).
    fn needs_whole_selection(&self) -> bool {
        false
    }

    /// Whether it works only with a policy that has a total number of steps.
    fn needs_steps(&self) -> bool {
        false
    }

    /// Whether it reads most rows whole; see [`Policy::needs_full_rows`](crate::Policy::needs_full_rows).
    fn needs_full_rows(&self) -> bool {
        false
    }

    /// What errors call it: by default its type's name.
    fn name(&self) -> &'static str {
        crate::name::short::<Self>()
    }
}

/// A [`Reviser`] that can be cloned behind a pointer; every `Reviser + Clone` is one.
pub trait DynReviser: Reviser {
    /// A copy for one more sequence.
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
