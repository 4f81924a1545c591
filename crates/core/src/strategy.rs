//! Whole strategies: an unmasker with, optionally, a policy and a reviser; and published strategies by name.
//!
//! Any [`Unmasker`] is a strategy that leaves policy and reviser to the generator. The functions of this
//! module build the published strategies that have their own.

use crate::order::Confidence as ByConfidence;
use crate::policy::{DynPolicy, Hierarchical, Klass, LocalLeap, Ranked, Saber, SlowFast};
use crate::reviser::{self, DynReviser, Edit, Rcr, Wino};
use crate::schedule::{Threshold, WideThreshold};
use crate::unmasker::{Confidence, DynUnmasker, Score, Unmasker};
use crate::{Error, range};

/// An unmasker with, optionally, a policy and a reviser.
///
/// Set it with [`Generator::unmasker`](crate::Generator::unmasker).
#[derive(Clone)]
#[must_use = "a strategy does nothing until it is set on a generator"]
pub struct Strategy {
    pub(crate) unmasker: Box<dyn DynUnmasker>,
    pub(crate) policy: Option<Box<dyn DynPolicy>>,
    pub(crate) reviser: Option<Box<dyn DynReviser>>,
}

impl Strategy {
    /// Creates a strategy of an unmasker only.
    pub fn new(unmasker: impl DynUnmasker) -> Self {
        Self { unmasker: unmasker.boxed(), policy: None, reviser: None }
    }

    /// Wraps the unmasker in another one, such as one that counts or times calls.
    pub fn map_unmasker<U: DynUnmasker>(
        self,
        wrap: impl FnOnce(Box<dyn DynUnmasker>) -> U,
    ) -> Self {
        Self { unmasker: wrap(self.unmasker).boxed(), ..self }
    }

    /// The name in error messages: that of the unmasker.
    pub fn name(&self) -> &'static str {
        self.unmasker.name()
    }

    /// Whether the strategy has a policy of its own.
    pub fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// Sets the policy.
    pub fn policy(self, policy: impl DynPolicy) -> Self {
        Self { policy: Some(policy.boxed()), ..self }
    }

    /// Sets the reviser.
    pub fn reviser(self, reviser: impl DynReviser) -> Self {
        Self { reviser: Some(reviser.boxed()), ..self }
    }
}

impl<U: Unmasker + Clone + 'static> From<U> for Strategy {
    fn from(unmasker: U) -> Self {
        Self::new(unmasker)
    }
}

/// KLASS (arXiv 2511.05664). Confidence is the probability of the drawn token in the filtered row.
pub fn klass(policy: Klass) -> Strategy {
    Strategy::new(Confidence::new(Score::Filtered)).policy(policy)
}

/// SlowFast sampling (arXiv 2506.10848). Confidence is the raw probability of the drawn token.
pub fn slow_fast(policy: SlowFast) -> Strategy {
    Strategy::new(Confidence::new(Score::Raw)).policy(policy)
}

/// LocalLeap (arXiv 2510.07081). Confidence is the raw probability of the drawn token.
pub fn local_leap(policy: LocalLeap) -> Strategy {
    Strategy::new(Confidence::new(Score::Raw)).policy(policy)
}

/// dInfer's hierarchical decoding. Confidence is the raw probability of the drawn token.
pub fn hierarchical(policy: Hierarchical) -> Strategy {
    Strategy::new(Confidence::new(Score::Raw)).policy(policy)
}

/// Saber (arXiv 2510.18165): reveals at least `least` positions a step, and backtracks.
///
/// # Errors
/// [`Error::Parameter`] if `least` is 0.
pub fn saber(least: usize) -> Result<Strategy, Error> {
    let strategy = Strategy::new(Confidence::new(Score::Raw)).policy(Saber::new(least)?);
    Ok(strategy.reviser(reviser::Saber::new(least)))
}

/// WINO (arXiv 2507.18578): reveals above τ₁ = `reveal` and remasks below τ₂ = `keep`; 0.6 and 0.9 in the paper.
///
/// **Law.** With τ₂ = 0 it is the threshold sampler over drafts. With τ₁ = 1 it is [`Confidence`] by
/// [`Score::Raw`] at K = 1, for any τ₂.
///
/// # Errors
/// [`Error::Parameter`] unless both are from 0 to 1.
pub fn wino(reveal: f64, keep: f64) -> Result<Strategy, Error> {
    let policy = Ranked::new(ByConfidence, WideThreshold::new(reveal)?);
    let strategy = Strategy::new(Confidence::new(Score::Raw)).policy(policy);
    Ok(strategy.reviser(Wino::new(keep)?))
}

/// LLaDA2.1's joint threshold (arXiv 2602.08676): reveals above τ = `reveal`, and edits.
///
/// **Law.** With τₑ = 1 no token is edited, and it is the threshold sampler over drafts. With τ = 1 as well
/// it is [`Confidence`] by [`Score::Filtered`] at K = 1.
///
/// # Errors
/// [`Error::Parameter`] unless τ is from 0 to 1.
pub fn edit_threshold(reveal: f64, edit: Edit) -> Result<Strategy, Error> {
    let above = Threshold::above(range::probability("reveal threshold", reveal)?)?;
    let policy = Ranked::new(ByConfidence, above);
    Ok(Strategy::new(Confidence::new(Score::Filtered)).policy(policy).reviser(edit))
}

/// MDPO's running confidence remasking (arXiv 2508.13148), over drafts by this score. The generator's
/// schedule sets the number of tokens. The source's score is [`Score::Filtered`].
pub fn rcr(score: Score) -> Strategy {
    Strategy::new(Confidence::new(score)).reviser(Rcr::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_probabilities() {
        for bad in [-0.1, 1.1, f64::NAN] {
            for error in [wino(bad, 0.9).err(), wino(0.6, bad).err()] {
                let error = error.unwrap().to_string();
                assert!(error.contains("WINO") && error.contains("from 0 to 1"), "{error}");
            }
            let error = edit_threshold(bad, Edit::default()).err().unwrap().to_string();
            assert!(error.contains("reveal threshold"), "{error}");
        }
        assert!(wino(0.0, 1.0).is_ok() && edit_threshold(0.0, Edit::default()).is_ok());
        assert!(saber(0).is_err() && saber(1).is_ok());
    }
}
