use super::{Progress, Ranking, Schedule};
use crate::Error;

/// Every candidate at least as sure as τ, and always the best one.
///
/// From the best ranked down, reveals while the confidence c ≥ τ; ranked by confidence those are all
/// candidates with c ≥ τ.
///
/// **Law.** Exact at τ = 1: whatever is revealed beside the first token is certain. Below, k tokens
/// of confidence τ are revealed together as if independent, each agreeing with the most probable one
/// with probability at least τ. Source: Fast-dLLM (arXiv 2505.22618), τ = 0.9, on blocks of 32 with
/// [`Confidence`](crate::unmasker::Confidence).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    tau: f64,
    strict: bool,
}

impl Threshold {
    /// # Errors
    /// [`Error::Parameter`] unless 0 < τ ≤ 1.
    pub fn new(tau: f64) -> Result<Self, Error> {
        if tau > 0.0 && tau <= 1.0 {
            return Ok(Self { tau, strict: false });
        }
        Err(Error::parameter("tau", tau, "a number above 0 and at most 1"))
    }

    /// Reveals while c > τ instead, as LLaDA2.1 and WINO do; 1 is then one token a step.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1.
    pub fn above(tau: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&tau) {
            return Ok(Self { tau, strict: true });
        }
        Err(Error::parameter("tau", tau, "a number from 0 to 1"))
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
    fn bounds() {
        for bad in [0.0, -0.5, 1.1, f64::NAN] {
            assert!(Threshold::new(bad).is_err(), "{bad}");
        }
        assert!(Threshold::new(1.0).is_ok());
    }
}
