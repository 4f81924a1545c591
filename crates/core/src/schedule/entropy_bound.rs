use super::{Progress, Ranking, Schedule};
use crate::{Error, range};

/// Reveals as many tokens as can depend on each other by at most γ nats.
///
/// Reveals the first k of the ranking, for the largest k with Σ_{i≤k} Hᵢ − max_{i≤k} Hᵢ ≤ γ, where H is the
/// entropy of the filtered row. The paper ranks by [`Entropy`](crate::order::Entropy); any order works.
///
/// **Law.** γ bounds the total correlation Σ Hᵢ − H(joint), because a joint entropy is at least the largest
/// of its marginals. So each step draws from a law whose Kullback–Leibler divergence from the model's own
/// joint of these positions is at most γ, at temperature 1 without truncation. Exact at γ = 0: then only
/// certain tokens are revealed beside the first. Source: EB-Sampler (arXiv 2505.24857), γ from 0.001 to 0.1.
#[doc(alias = "EB-Sampler")]
#[doc(alias = "entropy-bounded unmasking")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EntropyBound(f64);

impl EntropyBound {
    /// Creates the schedule with γ nats.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless γ is finite and at least 0.
    pub fn new(gamma: f64) -> Result<Self, Error> {
        Ok(Self(range::non_negative("gamma", gamma)?))
    }

    /// The largest k for rows with these entropies, in nats; at least 1.
    pub(crate) fn count(self, entropies: impl Iterator<Item = f64>) -> usize {
        // Σ H − max H grows with k. Summed without the largest entropy, so that it is exactly 0 for one token.
        let (mut others, mut most) = (0.0, 0.0_f64);
        let within = entropies.take_while(|&entropy| {
            others += most.min(entropy);
            most = most.max(entropy);
            others <= self.0
        });
        within.count().max(1)
    }
}

impl Default for EntropyBound {
    /// γ = 0.1.
    fn default() -> Self {
        Self(0.1)
    }
}

impl Schedule for EntropyBound {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        self.count(ranked.iter().map(|candidate| candidate.stats.entropy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::quota;

    #[test]
    fn all_but_the_largest_entropy_count() {
        let rows = [(0.0, 0.1), (0.0, 0.2), (0.0, 0.3), (0.0, 0.9)];
        for (gamma, k) in [(0.0, 1), (0.09, 1), (0.11, 2), (0.31, 3), (0.61, 4)] {
            assert_eq!(quota(&EntropyBound::new(gamma).unwrap(), &rows), k, "{gamma}");
        }
        let certain = [(1.0, 0.0), (1.0, 0.0), (0.5, 0.7), (0.5, 0.7)];
        assert_eq!(quota(&EntropyBound::new(0.0).unwrap(), &certain), 3);
    }

    #[test]
    fn parameters_are_checked() {
        for bad in [-0.1, f64::INFINITY, f64::NAN] {
            assert!(EntropyBound::new(bad).is_err(), "{bad}");
        }
    }
}
