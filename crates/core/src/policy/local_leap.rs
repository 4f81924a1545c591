use super::{Candidate, Policy, Selection, by_confidence, most_confident};
use crate::{Error, Observation, range};

/// LocalLeap: requires less confidence near a position of high confidence.
///
/// Anchors are the candidates with c ≥ κ. Every candidate at most w positions from an anchor, on either side,
/// is selected if c ≥ τ; the most confident candidate is always selected. A candidate selected for its
/// neighbour is not an anchor.
///
/// Exact while it selects one position a step; otherwise the law is the unmasker's. With τ = κ it is
/// [`Threshold`](crate::schedule::Threshold) by confidence. Source: arXiv 2510.07081: κ = 0.9, τ = 0.75,
/// w = 4, blocks of 32, c the probability of the drawn token.
#[doc(alias = "anchor")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalLeap {
    anchor: f64,
    near: f64,
    reach: usize,
}

impl LocalLeap {
    /// Creates the policy with κ = `anchor`, τ = `near` and w = `reach`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ κ ≤ 1.
    pub fn new(anchor: f64, near: f64, reach: usize) -> Result<Self, Error> {
        let anchor = range::probability("anchor confidence", anchor)?;
        Ok(Self { anchor, near: range::within("near confidence", near, 0.0..=anchor)?, reach })
    }

    /// The candidates to select, from left to right.
    fn accepted(&self, candidates: &[Candidate]) -> Vec<usize> {
        let anchors: Vec<usize> =
            candidates.iter().filter(|c| c.confidence >= self.anchor).map(|c| c.position).collect();
        let best = most_confident(candidates);
        let accepts = |&i: &usize| {
            let Candidate { position, confidence, .. } = candidates[i];
            let is_near = |anchor: &usize| anchor.abs_diff(position) <= self.reach;
            Some(i) == best || confidence >= self.near && anchors.iter().any(is_near)
        };
        (0..candidates.len()).filter(accepts).collect()
    }
}

impl Default for LocalLeap {
    /// κ = 0.9, τ = 0.75, w = 4.
    fn default() -> Self {
        Self { anchor: 0.9, near: 0.75, reach: 4 }
    }
}

impl Policy for LocalLeap {
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
    fn neighbours_of_anchors_need_less_confidence() {
        let rows = candidates(&[(0, 0.8), (3, 0.76), (7, 0.95), (11, 0.75), (12, 0.89), (20, 0.8)]);
        // 3 and 11 are within 4 of the anchor 7; 12 is within 4 of 11, which is not an anchor.
        assert_eq!(LocalLeap::default().accepted(&rows), [1, 2, 3]);
        // Without an anchor: only the best one.
        let rows = candidates(&[(0, 0.8), (1, 0.85), (2, 0.85)]);
        assert_eq!(LocalLeap::default().accepted(&rows), [1]);
        assert!(LocalLeap::new(0.9, 0.91, 4).is_err() && LocalLeap::new(1.1, 0.5, 4).is_err());
    }
}
