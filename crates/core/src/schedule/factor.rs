use super::{Progress, Ranking, Schedule};
use crate::{Error, range};

/// Requires a higher confidence the more tokens a step reveals: (n + 1)(1 − c₍ₙ₎) ≤ f for n tokens.
///
/// Goes down the ranking and reveals the n-th token while its confidence c₍ₙ₎ ≥ 1 − f / (n + 1), and always
/// the first. In an order by confidence that is the largest such n.
///
/// **Law.** With f ≤ 1 and argmax draws in [`MaxProb`](crate::order::MaxProb) order, the tokens of a step are
/// the most probable combination under the model's own joint of those positions, however they depend on each
/// other. Categorical draws are independent. Source: Fast-dLLM (arXiv 2505.22618), Theorem 1 and factor
/// decoding, f = 1. As in its code, equality suffices, where the paper has <. Unlike there, the last
/// candidate must meet the bound too.
#[doc(alias = "factor decoding")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor(f64);

impl Factor {
    /// Creates the schedule with factor f.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless f is finite and above 0.
    pub fn new(factor: f64) -> Result<Self, Error> {
        Ok(Self(range::positive("factor", factor)?))
    }
}

impl Default for Factor {
    /// f = 1.
    fn default() -> Self {
        Self(1.0)
    }
}

impl Schedule for Factor {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        let needed = |n: usize| 1.0 - self.0 / (n + 1) as f64;
        let confident = ranked.iter().zip(1..).take_while(|(c, n)| c.confidence >= needed(*n));
        confident.count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::quota;

    #[test]
    fn each_further_token_needs_more_confidence() {
        // f = 1 needs c of 1/2, 2/3, 3/4, 4/5.
        let one = Factor::default();
        assert_eq!(quota(&one, &[(0.9, 0.0), (0.75, 0.0), (0.74, 0.0), (0.73, 0.0)]), 2);
        assert_eq!(quota(&one, &[(0.9, 0.0), (0.8, 0.0), (0.75, 0.0), (0.74, 0.0)]), 3);
        assert_eq!(quota(&one, &[(0.2, 0.0), (0.1, 0.0)]), 1);
        assert_eq!(quota(&Factor::new(4.0).unwrap(), &[(0.2, 0.0), (0.1, 0.0), (0.0, 0.0)]), 3);
    }

    #[test]
    fn parameters_are_checked() {
        for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert!(Factor::new(bad).is_err(), "{bad}");
        }
    }
}
