use std::ops::Bound;

use super::{Progress, Ranking, Schedule};
use crate::{Error, range};

/// Reveals every candidate with a confidence of at least τ, and always the best one.
///
/// Goes down the ranking while the confidence c ≥ τ. In an order by confidence these are all candidates with
/// c ≥ τ.
///
/// **Law.** Exact at τ = 1, where all tokens beside the first are certain. Below, tokens are drawn
/// independently. Each, except perhaps the first, is the most probable one with probability at least τ. Source:
/// Fast-dLLM (arXiv 2505.22618), τ = 0.9, on blocks of 32 with
/// [`Confidence`](crate::unmasker::Confidence).
#[doc(alias = "confidence threshold")]
#[doc(alias = "confidence-aware parallel decoding")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    tau: f64,
    strict: bool,
}

impl Threshold {
    /// Creates the schedule that reveals while c ≥ τ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < τ ≤ 1.
    pub fn new(tau: f64) -> Result<Self, Error> {
        let range = (Bound::Excluded(0.0), Bound::Included(1.0));
        Ok(Self { tau: range::within("tau", tau, range)?, strict: false })
    }

    /// Creates the schedule that reveals while c > τ, as LLaDA2.1 and WINO do. With τ = 1 that is one token a
    /// step.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1.
    pub fn above(tau: f64) -> Result<Self, Error> {
        Ok(Self { tau: range::probability("tau", tau)?, strict: true })
    }

    fn clears(&self, confidence: f64) -> bool {
        if self.strict { confidence > self.tau } else { confidence >= self.tau }
    }
}

impl Default for Threshold {
    /// τ = 0.9.
    fn default() -> Self {
        Self { tau: 0.9, strict: false }
    }
}

impl Schedule for Threshold {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        ranked.iter().take_while(|candidate| self.clears(candidate.confidence)).count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::quota;

    #[test]
    fn the_leading_run_and_at_least_one() {
        let half = Threshold::new(0.5).unwrap();
        assert_eq!(quota(&half, &[(0.9, 0.0), (0.5, 0.0), (0.4, 0.0), (0.8, 0.0)]), 2);
        assert_eq!(quota(&half, &[(0.4, 0.0), (0.3, 0.0)]), 1);
        assert_eq!(quota(&Threshold::default(), &[(0.9, 0.0), (0.9, 0.0)]), 2);
        assert_eq!(quota(&Threshold::above(0.9).unwrap(), &[(0.91, 0.0), (0.9, 0.0)]), 1);
    }

    #[test]
    fn parameters_are_checked() {
        for bad in [0.0, -0.5, 1.1, f64::NAN] {
            assert!(Threshold::new(bad).is_err(), "{bad}");
        }
        assert!(Threshold::new(1.0).is_ok());
    }
}
