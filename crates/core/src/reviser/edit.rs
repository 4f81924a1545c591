use super::{Reviser, Revision};
use crate::{Error, Query, StepRequest, range};

/// LLaDA2.1's edits: replaces revealed tokens by ones of higher probability.
///
/// Draws a token at every revealed position of the block, with probability p in the filtered row. It replaces
/// the current token if it differs and p > τₑ. All rows come from the forward of the step, so editing costs
/// no further forward while a position is masked.
///
/// A full block is [kept open](Revision::keep_block_open) and edited in further steps, one forward each,
/// until nothing changes or [`post_steps`](Self::post_steps) is reached.
///
/// **Law.** No closed one, because tokens are overwritten. With τₑ = 1 no token is edited. The published
/// strategy is [`strategy::edit_threshold`](crate::strategy::edit_threshold): drafts, all above τ, and this.
///
/// Source: LLaDA2.1 (arXiv 2602.08676) and its serving code, which takes argmax tokens. Defaults
/// τₑ = 0.5, 16 steps: the "quality" mode; 0 and 16 are the "speed" mode.
#[doc(alias = "LLaDA2.1")]
#[doc(alias = "token editing")]
#[doc(alias = "joint threshold")]
#[derive(Debug, Clone)]
pub struct Edit {
    bound: f64,
    post_steps: usize,
    /// The number of steps of the block that began without a masked position.
    full_steps: usize,
    queries: Vec<(usize, Query)>,
}

impl Edit {
    /// Creates the reviser with τₑ = `bound`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(bound: f64) -> Result<Self, Error> {
        Ok(Self { bound: range::probability("edit threshold", bound)?, ..Self::default() })
    }

    /// Sets the largest number of further steps in a full block, by default 16. With 0 a full block is
    /// finished.
    ///
    /// Edits can cycle, so a number far beyond 16 risks [`Error::StepLimitExceeded`].
    pub fn post_steps(self, steps: usize) -> Self {
        Self { post_steps: steps, ..self }
    }
}

impl Default for Edit {
    /// τₑ = 0.5, 16 steps.
    fn default() -> Self {
        Self { bound: 0.5, post_steps: 16, full_steps: 0, queries: Vec::new() }
    }
}

impl Reviser for Edit {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        if self.bound < 1.0 {
            let revealed = request.canvas().revealed();
            self.queries.extend(revealed.map(|position| (position, request.query(position))));
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        let mut edited = false;
        for &(position, query) in &self.queries {
            let new = revision.draw(revision.query_row(query))?;
            if new.probability > self.bound && new.token != revision.canvas().tokens()[position] {
                revision.replace(position, new);
                edited = true;
            }
        }
        let is_full = revision.candidates().is_empty();
        self.full_steps = if is_full { self.full_steps + 1 } else { 0 };
        let may_continue = self.bound < 1.0 && self.full_steps < self.post_steps;
        if may_continue && (edited || !is_full) {
            revision.keep_block_open();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_probabilities() {
        assert!(Edit::new(0.0).is_ok() && Edit::new(1.0).is_ok());
        for bad in [-0.1, 1.1, f64::NAN] {
            let error = Edit::new(bad).unwrap_err().to_string();
            assert!(error.contains("edit threshold") && error.contains("from 0 to 1"), "{error}");
        }
    }
}
