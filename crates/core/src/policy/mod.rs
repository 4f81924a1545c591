//! Scheduling policies: select which positions a step reveals, and how many.
//!
//! In every denoising step a policy selects candidates from their rows. It may keep state of the sequence,
//! but it cannot draw a token or reveal a position. So *where* cannot depend on *what* is drawn there. With a
//! policy that selects one candidate a step, an unmasker that draws from the rows samples the model's joint
//! exactly. The exception is an unmasker that [drafts](crate::Unmasker::draft) tokens before the policy
//! selects: the policy then reads the confidence of the drafted token.
//!
//! The usual policy is [`Ranked`]: an [`Order`] with a [`Schedule`](crate::Schedule). The others have one
//! rule for both. Each works with every unmasker that [takes a policy](crate::unmasker::Control).
//!
//! ```
//! use conjoint_core::policy::{Policy, Selection};
//! use conjoint_core::{Error, Observation};
//!
//! /// Selects the two outermost candidates.
//! #[derive(Clone)]
//! struct Outermost;
//!
//! impl Policy for Outermost {
//!     fn select(&mut self, rows: &mut Observation<'_>, selection: &mut Selection) -> Result<(), Error> {
//!         let mut ends = rows.rows();
//!         selection.all_of(ends.next().into_iter().chain(ends.next_back()));
//!         Ok(())
//!     }
//! }
//! ```

use crate::{Error, Observation, Order, StepRequest};

mod block_states;
mod demask;
mod dilated;
mod early_commit;
mod hierarchical;
mod klass;
mod local_leap;
mod origin;
mod ranked;
mod saber;
mod slow_fast;

pub use crate::observation::{Candidate, Row, Selection};
pub use block_states::BlockStates;
pub use demask::Demask;
pub use dilated::Dilated;
pub use early_commit::EarlyCommit;
pub use hierarchical::Hierarchical;
pub use klass::Klass;
pub use local_leap::LocalLeap;
pub use origin::Origin;
pub use ranked::Ranked;
pub use saber::Saber;
pub use slow_fast::SlowFast;

/// Selects the positions that a step reveals.
///
/// The run clones the policy for each sequence, so a policy may keep state of the sequence in its fields. In
/// every denoising step it can first [request](Self::plan) rows or skip the forward; then it
/// [selects](Self::select). An unmasker with a sampler layer draws the selected candidates one after the
/// other. Before each further one the policy [ranks](Self::rank) the remaining candidates by their refined
/// rows.
#[doc(alias = "planner")]
#[doc(alias = "unmasking policy")]
#[doc(alias = "scheduler")]
pub trait Policy: Send + Sync {
    /// Called before the forward of a step: requests rows beside those of the masked positions, or skips the
    /// forward. By default it does nothing.
    ///
    /// # Errors
    /// An error if the policy cannot handle this canvas. The sequence then fails.
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let _ = request;
        Ok(())
    }

    /// Selects the candidates to reveal in this step. There is at least one candidate.
    ///
    /// Selecting none is allowed only while the policy has [steps](Self::steps) left.
    ///
    /// # Errors
    /// Those of the observation.
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error>;

    /// Fills `ranked` with the remaining candidates of the step, ranked by their refined rows. By default the
    /// lowest entropy comes first, as in the published method (arXiv 2509.22738).
    ///
    /// # Errors
    /// Those of the observation.
    fn rank(&mut self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        crate::order::Entropy.rank(rows, ranked)
    }

    /// The total number of denoising steps, spread over the blocks in proportion to their lengths; `None` if the policy runs until no
    /// position is masked.
    fn steps(&self) -> Option<usize> {
        None
    }

    /// Whether the policy reads most rows whole ([`Observation::filtered`], [`Observation::logits`]). The
    /// model should then return dense rows instead of [top-K rows](crate::top_k_rows), which saves fetching
    /// them one by one. Reading whole rows is possible either way.
    fn needs_full_rows(&self) -> bool {
        false
    }

    /// The name in error messages. By default the name of the type.
    fn name(&self) -> &'static str {
        crate::name::short::<Self>()
    }
}

/// A [`Policy`] that can be cloned as a trait object. Implemented for every `Policy + Clone`.
pub trait DynPolicy: Policy {
    /// Clones the policy for another sequence.
    fn boxed(&self) -> Box<dyn DynPolicy>;
}

impl<P: Policy + Clone + 'static> DynPolicy for P {
    fn boxed(&self) -> Box<dyn DynPolicy> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn DynPolicy> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl Policy for Box<dyn DynPolicy> {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        (**self).plan(request)
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        (**self).select(rows, selection)
    }

    fn rank(&mut self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        (**self).rank(rows, ranked)
    }

    fn steps(&self) -> Option<usize> {
        (**self).steps()
    }

    fn needs_full_rows(&self) -> bool {
        (**self).needs_full_rows()
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }
}

/// The most confident candidate, the leftmost among equals.
fn most_confident(candidates: &[Candidate]) -> Option<usize> {
    let better = |a: &usize, b: &usize| {
        candidates[*a].confidence.total_cmp(&candidates[*b].confidence).then(b.cmp(a))
    };
    (0..candidates.len()).max_by(better)
}

/// The rows of these candidates, sorted by confidence: the highest first, the leftmost among equals.
fn by_confidence(candidates: &[Candidate], mut chosen: Vec<usize>) -> Vec<Row> {
    chosen.sort_unstable_by(|&a, &b| {
        candidates[b].confidence.total_cmp(&candidates[a].confidence).then(a.cmp(&b))
    });
    chosen.into_iter().map(Row::candidate).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::RowStats;

    /// Candidates at these positions with these confidences.
    pub(crate) fn candidates(rows: &[(usize, f64)]) -> Vec<Candidate> {
        let candidate = |&(position, confidence): &(usize, f64)| {
            let stats = RowStats { log_z: 0.0, entropy: 0.0, top: 0, p1: confidence, p2: 0.0 };
            Candidate { position, stats, confidence }
        };
        rows.iter().map(candidate).collect()
    }

    #[test]
    fn ties_go_to_the_leftmost() {
        let rows = candidates(&[(0, 0.2), (1, 0.9), (2, 0.9), (4, 0.5)]);
        assert_eq!(most_confident(&rows), Some(1));
        assert_eq!(by_confidence(&rows, vec![3, 2, 1, 0]), [1, 2, 3, 0].map(Row::candidate));
        assert_eq!(most_confident(&[]), None);
    }
}
