use super::{Candidate, Policy, Selection, by_confidence, most_confident};
use crate::{Error, Observation, range};

/// dInfer's hierarchical decoding: reveals a position in every run of masks, which splits the runs.
///
/// Selects the most confident position of every contiguous run of masks if c > low, all positions with c > τ,
/// and the most confident position of the block.
///
/// Exact while it selects one position a step; otherwise the law is the unmasker's. Source:
/// `HierarchyDecoder` of dInfer (inclusionAI), τ = 0.9, low = 0.4. There all ties for the best of a run are
/// revealed, here the leftmost. For its remasking variant, add the reviser
/// [`Hierarchical`](crate::reviser::Hierarchical).
#[doc(alias = "dInfer")]
#[doc(alias = "hierarchical decoding")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hierarchical {
    tau: f64,
    low: f64,
}

impl Hierarchical {
    /// Creates the policy with the bounds τ for any position and `low` for the best one of a run.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless both are from 0 to 1.
    pub fn new(tau: f64, low: f64) -> Result<Self, Error> {
        Ok(Self { tau: range::probability("tau", tau)?, low: range::probability("low", low)? })
    }

    /// The candidates to select, from left to right.
    fn accepted(&self, candidates: &[Candidate]) -> Vec<usize> {
        let best = most_confident(candidates);
        let mut accepted: Vec<usize> = (0..candidates.len())
            .filter(|&i| candidates[i].confidence > self.tau || Some(i) == best)
            .collect();
        let mut start = 0;
        for run in candidates.chunk_by(|a, b| a.position + 1 == b.position) {
            let best = most_confident(run).map(|i| start + i);
            accepted.extend(best.filter(|&i| candidates[i].confidence > self.low));
            start += run.len();
        }
        accepted.sort_unstable();
        accepted.dedup();
        accepted
    }
}

impl Default for Hierarchical {
    /// τ = 0.9, low = 0.4.
    fn default() -> Self {
        Self { tau: 0.9, low: 0.4 }
    }
}

impl Policy for Hierarchical {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let candidates = rows.candidates();
        selection.all_of(by_confidence(candidates, self.accepted(candidates)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::candidates;

    #[test]
    fn one_of_every_run_and_all_confident_ones() {
        let rows =
            [(0, 0.5), (1, 0.6), (2, 0.95), (4, 0.41), (5, 0.41), (7, 0.4), (9, 0.92), (10, 0.91)];
        // The best of each run except the one at 7, and 10, which exceeds τ.
        assert_eq!(Hierarchical::default().accepted(&candidates(&rows)), [2, 3, 6, 7]);
        let unconfident = candidates(&[(0, 0.1), (1, 0.2), (3, 0.2)]);
        assert_eq!(Hierarchical::default().accepted(&unconfident), [1]);
        assert!(Hierarchical::new(1.2, 0.4).is_err() && Hierarchical::new(0.9, f64::NAN).is_err());
    }
}
