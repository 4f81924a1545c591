use super::{Reviser, Revision};
use crate::policy::share;
use crate::{Error, Query, StepRequest};

/// LLaDA2.1's edits: replaces what the model has become sure is wrong.
///
/// Draws a token at every revealed position of the block, p being its probability in the filtered row. A token that
/// differs from the one that stands there takes its place if p > τₑ. All rows are of the one forward of the step, so
/// that editing costs none while something is masked.
///
/// A block that is full is [kept open](Revision::keep_block_open) and edited on, one more forward each time, until
/// nothing changes or for as many steps as [`post_steps`](Self::post_steps) allows.
///
/// **Law.** No closed one: what stands is overwritten where the rows change their mind. With τₑ = 1 nothing is edited.
/// The published strategy is [`strategy::edit_threshold`](crate::strategy::edit_threshold): drafts, all above τ, and this.
///
/// Source: LLaDA2.1 (arXiv 2602.08676) and its serving code, which takes argmax tokens. Defaults
/// τₑ = 0.5, 16 steps: the "quality" mode; 0 and 16 are the "speed" mode.
#[derive(Debug, Clone)]
pub struct Edit {
    bound: f64,
    post_steps: usize,
    /// How many steps of the block began with nothing masked.
    full_steps: usize,
    asked: Vec<(usize, Query)>,
}

impl Edit {
    /// Replaces above τₑ = `bound`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(bound: f64) -> Result<Self, Error> {
        Ok(Self { bound: share("edit threshold", bound)?, ..Self::default() })
    }

    /// Edits a full block in at most this many further steps instead of 16; with 0 a full block is done.
    /// As edits may go round in circles, a number far beyond 16 risks [`Error::StepLimitExceeded`].
    pub fn post_steps(self, steps: usize) -> Self {
        Self { post_steps: steps, ..self }
    }
}

impl Default for Edit {
    /// τₑ = 0.5, 16 steps.
    fn default() -> Self {
        Self { bound: 0.5, post_steps: 16, full_steps: 0, asked: Vec::new() }
    }
}

impl Reviser for Edit {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.asked.clear();
        if self.bound < 1.0 {
            let revealed = request.canvas().revealed();
            self.asked.extend(revealed.map(|position| (position, request.query(position))));
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        let mut edited = false;
        for &(position, query) in &self.asked {
            let new = revision.draw(revision.query_row(query))?;
            if new.probability > self.bound && new.token != revision.canvas().tokens()[position] {
                revision.replace(position, new);
                edited = true;
            }
        }
        let is_full = revision.candidates().is_empty();
        self.full_steps = if is_full { self.full_steps + 1 } else { 0 };
        let goes_on = self.bound < 1.0 && self.full_steps < self.post_steps;
        if goes_on && (edited || !is_full) {
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
