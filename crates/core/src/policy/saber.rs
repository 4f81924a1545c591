use std::collections::BTreeMap;

use super::{Candidate, Policy, Row, Selection, by_confidence};
use crate::{Error, Observation, range};

/// Saber's dynamic threshold: selects candidates that are more confident than the average accepted one.
///
/// Selects all candidates with c > τ, where τ is the mean confidence of the positions accepted so far,
/// initially 1. A position that is accepted twice counts with its latest confidence. If fewer than n
/// candidates exceed τ, it selects the n most confident ones.
///
/// Exact while it selects one position a step; otherwise the law is the unmasker's. Source: Saber (arXiv
/// 2510.18165), n = 2, with the reviser [`Saber`](crate::reviser::Saber).
#[doc(alias = "dynamic threshold")]
#[derive(Debug, Clone, PartialEq)]
pub struct Saber {
    least: usize,
    /// Confidences of the positions accepted.
    accepted: BTreeMap<usize, f64>,
}

impl Saber {
    /// Creates the policy with n = `least`, the least number of positions in a step.
    ///
    /// # Errors
    /// [`Error::Parameter`] if n is 0.
    pub fn new(least: usize) -> Result<Self, Error> {
        Ok(Self { least: range::at_least("least", least, 1)?, accepted: BTreeMap::new() })
    }

    /// Selects candidates, most confident first, and counts them as accepted.
    fn accept(&mut self, candidates: &[Candidate]) -> Vec<Row> {
        let n = self.accepted.len();
        let mean = self.accepted.values().sum::<f64>() / n as f64;
        let tau = if n == 0 { 1.0 } else { mean };
        let mut ranked = by_confidence(candidates, (0..candidates.len()).collect());
        let confident =
            ranked.iter().map(|row| &candidates[row.index()]).take_while(|c| c.confidence > tau);
        let confident = confident.count();
        ranked.truncate(confident.max(self.least));
        let accepted = ranked.iter().map(|row| &candidates[row.index()]);
        self.accepted.extend(accepted.map(|c| (c.position, c.confidence)));
        ranked
    }
}

impl Default for Saber {
    /// n = 2.
    fn default() -> Self {
        Self { least: 2, accepted: BTreeMap::new() }
    }
}

impl Policy for Saber {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        selection.all_of(self.accept(rows.candidates()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::candidates;

    #[test]
    fn the_threshold_is_the_mean_of_what_was_accepted() {
        let mut saber = Saber::default();
        assert_eq!(
            saber.accept(&candidates(&[(0, 0.5), (1, 0.9), (2, 0.7), (3, 0.1)])),
            [1, 2].map(Row::candidate)
        );
        // The mean is 0.8: three clear it, and then it is (0.9 + 0.7 + 0.85 + 0.82 + 0.81) / 5.
        let rows = [(0, 0.85), (3, 0.82), (4, 0.81), (5, 0.8)];
        assert_eq!(saber.accept(&candidates(&rows)), [0, 1, 2].map(Row::candidate));
        // Position 1 was remasked: its latest confidence counts.
        assert_eq!(saber.accept(&candidates(&[(1, 0.3)])), [0].map(Row::candidate));
        let mean = saber.accepted.values().sum::<f64>() / saber.accepted.len() as f64;
        assert!((mean - (0.3 + 0.7 + 0.85 + 0.82 + 0.81) / 5.0).abs() < 1e-12);
        assert!(Saber::new(0).is_err());
    }
}
