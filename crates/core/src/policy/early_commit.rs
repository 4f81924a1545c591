use std::ops::Range;

use super::{DynPolicy, Policy, Row, Selection};
use crate::{Error, Observation, Query, StepRequest, range};

/// Prophet's early commit: once the answer is settled, selects all remaining positions at once.
///
/// It wraps another policy. In each step it computes the mean gap between the two largest logits over an
/// answer window of positions, revealed ones included, before any filter. It commits once the gap reaches 7.5
/// nats in the first third of the generation, 5 in the second and 2.5 in the last. Progress is the share of
/// the policy's steps, this one included; for a policy without a total it is the share of generated positions
/// that are known.
///
/// With several blocks, each later block is committed in its first step.
///
/// **Law.** That of the inner policy until it commits; then none is claimed. With infinite gaps it is the
/// inner policy, token for token. Source: Prophet (arXiv 2508.19982), whose commit takes argmax tokens
/// ([`Argmax`](crate::draw::Argmax)) and fills later blocks too; a window of 5 positions.
#[doc(alias = "early commit")]
#[doc(alias = "Prophet")]
#[derive(Clone)]
pub struct EarlyCommit {
    policy: Box<dyn DynPolicy>,
    window: Range<usize>,
    gaps: [f64; 3],
    queries: Vec<Query>,
    committed: bool,
}

impl EarlyCommit {
    /// Wraps a policy, with the answer at these positions of the sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the window is empty. A sequence that is shorter than the window fails when it
    /// runs.
    pub fn new(policy: impl DynPolicy, window: Range<usize>) -> Result<Self, Error> {
        if window.is_empty() {
            let value = format!("{}..{}", window.start, window.end);
            return Err(Error::parameter("answer window", value, "a non-empty range"));
        }
        let (gaps, queries) = ([7.5, 5.0, 2.5], Vec::new());
        Ok(Self { policy: policy.boxed(), window, gaps, queries, committed: false })
    }

    /// Sets the gaps, in nats, for the first, second and last third of the generation.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a gap is NaN or below 0. An infinite gap is never reached.
    pub fn gaps(self, gaps: [f64; 3]) -> Result<Self, Error> {
        for gap in gaps {
            range::within("gap", gap, 0.0..=f64::INFINITY)?;
        }
        Ok(Self { gaps, ..self })
    }

    /// The share of the generation that is done.
    fn done(&self, rows: &Observation<'_>) -> f64 {
        if let Some(steps) = self.policy.steps() {
            return (rows.step() + 1) as f64 / steps as f64;
        }
        let canvas = rows.canvas();
        let free = (0..canvas.len()).filter(|&p| !canvas.is_given(p));
        let (known, all) =
            free.fold((0, 0), |(known, all), p| (known + u32::from(!canvas.is_masked(p)), all + 1));
        f64::from(known) / f64::from(all.max(1_u32))
    }

    /// Whether the answer is settled.
    fn is_settled(&self, rows: &Observation<'_>) -> bool {
        let gap = |&query: &Query| {
            let stats = rows.raw_stats(rows.query_row(query));
            stats.map_or(0.0, |stats| stats.p1.ln() - stats.p2.ln())
        };
        let mean = self.queries.iter().map(gap).sum::<f64>() / self.queries.len() as f64;
        let done = self.done(rows);
        let third = usize::from(done >= 0.33) + usize::from(done >= 0.67);
        // Rows with one possible token have infinite gaps.
        mean >= self.gaps[third] && self.gaps[third].is_finite()
    }
}

impl Policy for EarlyCommit {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        if self.committed {
            return Ok(());
        }
        self.policy.plan(request)?;
        let length = request.canvas().len();
        if self.window.end > length {
            let value = format!("{}..{}", self.window.start, self.window.end);
            let expected = format!("a range within the sequence, 0..{length}");
            return Err(Error::parameter("answer window", value, expected));
        }
        self.queries.extend(self.window.clone().map(|p| request.query(p)));
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
    fn parameters_are_checked() {
        let make = |window| EarlyCommit::new(Ranked::new(Entropy, TokensPerStep::ONE), window);
        assert!(make(3..3).is_err());
        let commit = make(3..8).unwrap();
        assert!(commit.clone().gaps([f64::INFINITY; 3]).is_ok());
        assert!(commit.clone().gaps([1.0, -1.0, 0.0]).is_err());
        assert!(commit.gaps([1.0, f64::NAN, 0.0]).is_err());
    }
}
