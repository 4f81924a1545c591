//! How the positions that a policy selects get their tokens.
//!
//! An unmasker of one's own is a struct with one method:
//!
//! ```
//! use conjoint_core::{Error, Next, Unmasker, View};
//!
//! /// Draws every selected position on its own, but never more than two.
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

/// What follows a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The denoising step is over: the next rows come from a full forward.
    EndStep,
    /// Run the sampler layer on the canvas with the tokens just revealed, and ask again.
    Refine,
    /// Go on with the rows of this branch, which were answered with the forward of the step; sampler passes continue
    /// from its state. As after a forward of its own, the policy selects and the unmasker decides. The step ends
    /// instead if the sequence does not stand as the branch [supposed](StepRequest::query_branch), if nothing is masked on it,
    /// if the next block opens first, or after a sampler pass.
    Follow(Branch),
}

/// Which settings of a generator an unmasker works with. A generator with a setting that its unmasker would ignore is an
/// error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A policy selects where and how many: any order, schedule, policy and reviser.
    Policy,
    /// An order says where; it is always one position a step. A reviser is possible.
    Order,
    /// An order, and nothing else.
    OrderAlone,
    /// A schedule says how many; where is fixed. A reviser is possible.
    Schedule,
    /// The total number of steps of a schedule, and nothing else.
    Steps,
    /// Nothing: it decides alone.
    Alone,
}

/// Draws tokens for one sequence.
///
/// The run clones the unmasker once a sequence, so an unmasker may keep what it likes in its own fields. In every
/// denoising step it may first [ask for rows](Self::plan); then the policy selects positions, and the unmasker
/// [decides](Self::decide): it draws tokens for selected positions, records reveals on the view, and says what follows.
/// After a sampler pass that it asked for it decides again.
///
/// Each decision must reveal at least one token. After a sampler pass, in a full block that was kept open, and while a
/// schedule with a total has steps left, it may end the step without one. After a sampler pass a token that it
/// [supposes](View::place_draft) will do.
pub trait Unmasker: Send + Sync {
    /// Before the forward of a step: asks for rows beside those of the masked positions. By default for none.
    ///
    /// # Errors
    /// The unmasker cannot work with this canvas.
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// After the forward and before the policy selects: draws tokens, and
    /// [reports](View::set_confidence) how probable they are, for policies that go by the drawn token. By default
    /// nothing is drafted, and policies see rows alone.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        let _ = view;
        Ok(())
    }

    /// Records reveals (and remasks) on the view, and says what follows.
    ///
    /// # Errors
    /// Those of [`View::draw`].
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error>;

    /// The unmasker that this one wraps, if any. What follows is then answered by that one unless it is overridden, so that
    /// a wrapper implements `plan`, `draft`, `decide` and this.
    fn inner(&self) -> Option<&dyn Unmasker> {
        None
    }

    /// Which settings of the generator it works with. By default a policy.
    fn control(&self) -> Control {
        self.inner().map_or(Control::Policy, |inner| inner.control())
    }

    /// The order that was set on the unmasker itself, if any.
    fn order(&self) -> Option<Arc<dyn Order>> {
        self.inner().and_then(|inner| inner.order())
    }

    /// The order if none is set anywhere: by default the lowest entropy first.
    fn default_order(&self) -> Arc<dyn Order> {
        self.inner()
            .map_or_else(|| Arc::new(Entropy) as Arc<dyn Order>, |inner| inner.default_order())
    }

    /// Whether a step reveals all positions of a selection that leaves no choice. False if it may reveal fewer or others.
    fn reveals_selection(&self) -> bool {
        self.inner().is_none_or(|inner| inner.reveals_selection())
    }

    /// The sampler layer that [`Next::Refine`] runs. Sequences of a batch whose unmaskers hold the
    /// same one share its passes.
    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        self.inner().and_then(|inner| inner.sampler_layer())
    }

    /// Whether it reads most rows whole ([`filtered`](crate::Observation::filtered),
    /// [`logits`](crate::Observation::logits)), so that a model should
    /// answer dense rows rather than [condensed](crate::condensed) ones. It may read them whole either way: this only
    /// saves fetching them one by one.
    fn needs_full_rows(&self) -> bool {
        self.inner().is_some_and(|inner| inner.needs_full_rows())
    }

    /// What errors call it: by default its type's name.
    fn name(&self) -> &'static str {
        self.inner().map_or_else(crate::name::short::<Self>, |inner| inner.name())
    }
}

/// An [`Unmasker`] that can be cloned behind a pointer; every `Unmasker + Clone` is one.
pub trait DynUnmasker: Unmasker {
    /// A copy for one more sequence.
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

    /// A wrapper with nothing but its duties.
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
    fn a_wrapper_answers_as_what_it_wraps() {
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
