//! Unmaskers: draw the tokens of the positions that a policy selects.
//!
//! An unmasker of your own is a struct with one method:
//!
//! ```
//! use conjoint_core::{Error, Next, Unmasker, View};
//!
//! /// Draws at most two of the selected positions, independently.
//! #[derive(Clone)]
//! struct AtMostTwo;
//!
//! impl Unmasker for AtMostTwo {
//!     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//!         for rank in 0..view.quota().min(2) {
//!             let candidate = view.ranked(rank);
//!             let drawn = view.draw(candidate)?;
//!             view.reveal(candidate, drawn);
//!         }
//!         Ok(Next::EndStep)
//!     }
//! }
//! ```

use std::sync::Arc;

use crate::order::Entropy;
use crate::{Error, Order, SamplerLayer, StepRequest};

mod adaptive_joint;
mod clipped_joint;
mod confidence;
mod copula;
mod drafted_steps;
mod energy_resampling;
mod exact_sequential;
mod keep_best;
mod learned_joint;
mod local_autoregression;
mod marginal;
mod path_planning;
mod prefix_acceptance;
mod remdm;
mod teacher_forced;
mod verified_joint;

pub use adaptive_joint::{AdaptiveJoint, Bound};
pub use clipped_joint::ClippedJoint;
pub use confidence::{Confidence, Score};
pub use copula::Copula;
pub use drafted_steps::DraftedSteps;
pub use energy_resampling::EnergyResampling;
pub use exact_sequential::ExactSequential;
pub use learned_joint::LearnedJoint;
pub use local_autoregression::LocalAutoregression;
pub use marginal::Marginal;
pub use path_planning::PathPlanning;
pub use prefix_acceptance::PrefixAcceptance;
pub use remdm::ReMdm;
pub use teacher_forced::TeacherForced;
pub use verified_joint::VerifiedJoint;

pub use crate::observation::{Branch, Candidate, Drawn, View};

/// What the run does after an unmasker's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Next {
    /// End the denoising step. The next rows come from a full forward.
    EndStep,
    /// Run the sampler layer on the canvas with the tokens just revealed, then call the unmasker again.
    Refine,
    /// Continue with the rows of this branch, which were computed in the forward of the step. Sampler passes
    /// continue from its state.
    ///
    /// As after a forward, the policy selects and the unmasker decides. The step ends instead if the sequence
    /// does not equal the [branch](StepRequest::query_branch), if the branch has no masked position, if the
    /// next block opens first, or after a sampler pass.
    Follow(Branch),
}

/// Which settings of a generator an unmasker uses. A setting that the unmasker would ignore is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// A policy, or an order and a schedule, and a reviser.
    Policy,
    /// An order and a reviser; it reveals one position a step.
    Order,
    /// An order only.
    OrderAlone,
    /// A schedule and a reviser; the order is fixed.
    Schedule,
    /// The total number of steps of a schedule only.
    Steps,
    /// None of them.
    Alone,
}

/// Draws the tokens of a sequence.
///
/// The run clones the unmasker for each sequence, so an unmasker may keep state of the sequence in its
/// fields. In every denoising step it can first [request rows](Self::plan). Then the policy selects
/// positions, and the unmasker [decides](Self::decide): it draws tokens for selected positions, reveals them
/// on the view, and returns what the run does next. After each sampler pass that it requests, it decides
/// again.
///
/// Each decision must reveal at least one token, with these exceptions:
/// - after a sampler pass, it may end the step or [place a draft](View::place_draft) instead;
/// - in a full block that was kept open, it may end the step;
/// - while a schedule with a total number of steps has steps left, it may end the step.
pub trait Unmasker: Send + Sync {
    /// Called before the forward of a step: requests rows beside those of the masked positions. By default it
    /// does nothing.
    ///
    /// # Errors
    /// An error if the unmasker cannot handle this canvas. The sequence then fails.
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Called after the forward and before the policy selects: draws tokens and [sets](View::set_confidence)
    /// their confidence, for policies that read it. By default it drafts nothing, and policies read rows
    /// only.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        let _ = view;
        Ok(())
    }

    /// Reveals tokens on the view and returns what the run does next.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error>;

    /// The unmasker that this one wraps, if any. The methods below then default to those of the inner one, so
    /// a wrapper implements `plan`, `draft`, `decide` and this method.
    fn inner(&self) -> Option<&dyn Unmasker> {
        None
    }

    /// Which settings of the generator it uses. By default a policy.
    fn control(&self) -> Control {
        self.inner().map_or(Control::Policy, |inner| inner.control())
    }

    /// The order that was set on this unmasker, if any.
    fn order(&self) -> Option<Arc<dyn Order>> {
        self.inner().and_then(|inner| inner.order())
    }

    /// The order if none is set. By default the lowest entropy first.
    fn default_order(&self) -> Arc<dyn Order> {
        self.inner()
            .map_or_else(|| Arc::new(Entropy) as Arc<dyn Order>, |inner| inner.default_order())
    }

    /// Whether a step reveals every selected position, if the policy selects no more than the step's quota. False
    /// if it may reveal fewer or other positions.
    fn reveals_selection(&self) -> bool {
        self.inner().is_none_or(|inner| inner.reveals_selection())
    }

    /// The sampler layer that [`Next::Refine`] runs. Sequences of a batch with the same layer share its
    /// passes.
    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        self.inner().and_then(|inner| inner.sampler_layer())
    }

    /// Whether the unmasker reads most rows whole; see
    /// [`Policy::needs_full_rows`](crate::Policy::needs_full_rows).
    fn needs_full_rows(&self) -> bool {
        self.inner().is_some_and(|inner| inner.needs_full_rows())
    }

    /// The name in error messages. By default the name of the type.
    fn name(&self) -> &'static str {
        self.inner().map_or_else(crate::name::short::<Self>, |inner| inner.name())
    }
}

/// An [`Unmasker`] that can be cloned as a trait object. Implemented for every `Unmasker + Clone`.
pub trait DynUnmasker: Unmasker {
    /// Clones the unmasker for another sequence.
    fn boxed(&self) -> Box<dyn DynUnmasker>;
}

impl<U: Unmasker + Clone + 'static> DynUnmasker for U {
    fn boxed(&self) -> Box<dyn DynUnmasker> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn DynUnmasker> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl Unmasker for Box<dyn DynUnmasker> {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        (**self).plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        (**self).draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        (**self).decide(view)
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        (**self).inner()
    }

    fn control(&self) -> Control {
        (**self).control()
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        (**self).order()
    }

    fn default_order(&self) -> Arc<dyn Order> {
        (**self).default_order()
    }

    fn reveals_selection(&self) -> bool {
        (**self).reveals_selection()
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        (**self).sampler_layer()
    }

    fn needs_full_rows(&self) -> bool {
        (**self).needs_full_rows()
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wrapper that implements only the required methods.
    #[derive(Clone)]
    struct Wrapper(Box<dyn DynUnmasker>);

    impl Unmasker for Wrapper {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            self.0.decide(view)
        }

        fn inner(&self) -> Option<&dyn Unmasker> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_wrapper_defaults_to_the_inner_unmasker() {
        let answers = |unmasker: &dyn Unmasker| {
            let (control, name) = (unmasker.control(), unmasker.name());
            let (order, layer) = (unmasker.order().is_some(), unmasker.sampler_layer().is_some());
            (control, name, order, layer, unmasker.reveals_selection(), unmasker.needs_full_rows())
        };
        let unmaskers: [Box<dyn DynUnmasker>; 4] = [
            Marginal::new(Entropy).boxed(),
            ExactSequential::default().boxed(),
            PathPlanning::default().boxed(),
            Confidence::default().boxed(),
        ];
        for unmasker in unmaskers {
            let wrapped = Wrapper(Wrapper(unmasker.clone()).boxed());
            assert_eq!(answers(&wrapped), answers(&unmasker));
        }
    }
}
