use std::ops::Range;

use super::{DynPolicy, Policy, Row, Selection};
use crate::{Error, Observation, Query, StepRequest};

/// Prophet's early commit: once the answer has settled, everything that is left is selected at once.
///
/// Around another policy. In each step the mean gap between the two largest logits is taken over an answer window of
/// positions, revealed ones included, from the rows as the model gave them. The rest is committed once the gap reaches 7.5
/// nats; 5 from a third of the way on, 2.5 from two thirds. The way is the share of the policy's steps, this one
/// included, or, for a policy without a total, the share of the generated positions that are known.
///
/// In blocks, each block that follows is committed in its first step.
///
/// **Law.** None is claimed once it commits; before that it is the policy within. With a gap that is never reached it is
/// that policy, token for token. Source: Prophet (arXiv 2508.19982), whose commit takes argmax tokens
/// ([`Argmax`](crate::draw::Argmax)) and fills later blocks too; a window of 5 positions.
#[derive(Clone)]
pub struct EarlyCommit {
    policy: Box<dyn DynPolicy>,
    window: Range<usize>,
    gaps: [f64; 3],
    asked: Vec<Query>,
    committed: bool,
}

impl EarlyCommit {
    /// Around this policy, with the answer in these positions of the sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the window is empty. A window beyond the end of a sequence is that sequence's error.
    pub fn new(policy: impl DynPolicy, window: Range<usize>) -> Result<Self, Error> {
        if window.is_empty() {
            let value = format!("{}..{}", window.start, window.end);
            return Err(Error::parameter("answer window", value, "a range that is not empty"));
        }
        let (gaps, asked) = ([7.5, 5.0, 2.5], Vec::new());
        Ok(Self { policy: policy.boxed(), window, gaps, asked, committed: false })
    }

    /// Commits at these gaps, in nats: in the first third of the way, the second, and the last.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one is NaN or below 0. It may be infinite: then it is never reached.
    pub fn gaps(self, gaps: [f64; 3]) -> Result<Self, Error> {
        match gaps.iter().find(|gap| gap.is_nan() || **gap < 0.0) {
            Some(&bad) => Err(Error::parameter("gap", bad, "a number of at least 0")),
            None => Ok(Self { gaps, ..self }),
        }
    }

    fn way(&self, rows: &Observation<'_>) -> f64 {
        if let Some(steps) = self.policy.steps() {
            return (rows.step() + 1) as f64 / steps as f64;
        }
        let canvas = rows.canvas();
        let free = (0..canvas.len()).filter(|&p| !canvas.is_given(p));
        let (known, all) =
            free.fold((0, 0), |(known, all), p| (known + u32::from(!canvas.is_masked(p)), all + 1));
        f64::from(known) / f64::from(all.max(1_u32))
    }

    /// Whether the answer has settled.
    fn is_settled(&self, rows: &Observation<'_>) -> bool {
        let gap = |&query: &Query| {
            let stats = rows.raw_stats(rows.query_row(query));
            stats.map_or(0.0, |stats| stats.p1.ln() - stats.p2.ln())
        };
        let mean = self.asked.iter().map(gap).sum::<f64>() / self.asked.len() as f64;
        let way = self.way(rows);
        let third = usize::from(way >= 0.33) + usize::from(way >= 0.67);
        // Rows with one possible token have infinite gaps.
        mean >= self.gaps[third] && self.gaps[third].is_finite()
    }
}

impl Policy for EarlyCommit {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.asked.clear();
        if self.committed {
            return Ok(());
        }
        self.policy.plan(request)?;
        let length = request.canvas().len();
        if self.window.end > length {
            let value = format!("{}..{}", self.window.start, self.window.end);
            let expected = format!("a range within 0..{length}, the sequence");
            return Err(Error::parameter("answer window", value, expected));
        }
        self.asked.extend(self.window.clone().map(|p| request.query(p)));
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.committed = self.committed || self.is_settled(rows);
        if self.committed {
            selection.all_of(rows.rows());
            return Ok(());
        }
        self.policy.select(rows, selection)
    }

    fn rank(&mut self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        self.policy.rank(rows, ranked)
    }

    fn steps(&self) -> Option<usize> {
        self.policy.steps()
    }

    fn needs_full_rows(&self) -> bool {
        self.policy.needs_full_rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Entropy;
    use crate::policy::Ranked;
    use crate::schedule::TokensPerStep;

    #[test]
    fn bounds() {
        let make = |window| EarlyCommit::new(Ranked::new(Entropy, TokensPerStep::ONE), window);
        assert!(make(3..3).is_err());
        let commit = make(3..8).unwrap();
        assert!(commit.clone().gaps([f64::INFINITY; 3]).is_ok());
        assert!(commit.clone().gaps([1.0, -1.0, 0.0]).is_err());
        assert!(commit.gaps([1.0, f64::NAN, 0.0]).is_err());
    }
}
