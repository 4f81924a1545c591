use super::{Before, Next, Score, Turn, Unmasker, View};
use crate::Error;

/// LLaDA2.1's joint threshold: reveals what it is sure of, and replaces what it has become sure is
/// wrong.
///
/// A step draws a token at every masked *and* every revealed position of the block, p being its
/// probability in the filtered row. Masked positions with p > τ are revealed, always the best one;
/// where a token stands already, a different one with p > τₑ takes its place. All rows are of one
/// forward, so that editing costs none while something is masked.
///
/// A block that is full is [held](Next::Hold) and edited on, one more forward each time, until nothing
/// changes or for as many steps as [`post_steps`](Self::post_steps) allows.
///
/// It ends: each step reveals a masked position and an edit leaves nothing masked, so a block of n
/// positions takes at most n steps and those that follow. The schedule is not asked.
///
/// **Law.** Biased when tokens are sampled, as [`Confidence`](super::Confidence): *where* depends on
/// *what* was drawn. With τₑ = 1 nothing is edited, and it is the plain threshold sampler; with τ = 1
/// too it is `Confidence` by [`Score::Filtered`] at K = 1.
///
/// Source: LLaDA2.1 (arXiv 2602.08676) and its serving code, which takes argmax tokens. Defaults
/// τ = 0.7, τₑ = 0.5, 16 steps: the "quality" mode; 0.5, 0 and 16 are the "speed" mode.
#[derive(Debug, Clone)]
pub struct EditThreshold {
    reveal: f64,
    edit: f64,
    post_steps: usize,
    /// How many steps of the block began with nothing masked.
    full_steps: usize,
    asked: Vec<usize>,
}

impl EditThreshold {
    /// Reveals above τ = `reveal`, replaces above τₑ = `edit`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless both are from 0 to 1.
    pub fn new(reveal: f64, edit: f64) -> Result<Self, Error> {
        for (name, value) in [("reveal threshold", reveal), ("edit threshold", edit)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::parameter(name, value, "a number from 0 to 1"));
            }
        }
        Ok(Self { reveal, edit, ..Self::default() })
    }

    /// Edits a full block in at most this many further steps instead of 16; with 0 a full block is done.
    /// As edits may go round in circles, a number far beyond 16 risks [`Error::Endless`].
    pub fn post_steps(self, steps: usize) -> Self {
        Self { post_steps: steps, ..self }
    }

    /// Replaces tokens that stand and says whether there were any to replace.
    fn edit(&self, view: &mut View<'_>) -> Result<bool, Error> {
        let mut edited = false;
        for (n, &position) in self.asked.iter().enumerate() {
            let new = view.draw(view.answer(n))?;
            if new.probability > self.edit && new.token != view.canvas().tokens()[position] {
                view.replace(position, new);
                edited = true;
            }
        }
        Ok(edited)
    }
}

impl Default for EditThreshold {
    /// τ = 0.7, τₑ = 0.5, 16 steps.
    fn default() -> Self {
        Self { reveal: 0.7, edit: 0.5, post_steps: 16, full_steps: 0, asked: Vec::new() }
    }
}

impl Unmasker for EditThreshold {
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        self.asked.clear();
        if self.edit < 1.0 {
            self.asked.extend(before.canvas().revealed());
            self.asked.iter().for_each(|&position| before.ask(position));
        }
        Ok(Turn::Forward)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drawn = Score::Filtered.draw_all(view)?;
        view.rank_by_confidence();
        let sure = view.candidates().iter().filter(|c| c.confidence > self.reveal).count();
        for rank in 0..sure.max(1).min(drawn.len()) {
            let candidate = view.ranked(rank);
            view.reveal(candidate, drawn[candidate]);
        }
        let edited = self.edit(view)?;
        let is_full = drawn.is_empty();
        self.full_steps = if is_full { self.full_steps + 1 } else { 0 };
        let goes_on = self.edit < 1.0 && self.full_steps < self.post_steps;
        Ok(if goes_on && (edited || !is_full) { Next::Hold } else { Next::EndStep })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_probabilities() {
        assert!(EditThreshold::new(0.0, 0.0).is_ok() && EditThreshold::new(1.0, 1.0).is_ok());
        for (reveal, edit) in [(-0.1, 0.5), (1.1, 0.5), (f64::NAN, 0.5), (0.7, 2.0), (0.7, -1.0)] {
            let error = EditThreshold::new(reveal, edit).unwrap_err().to_string();
            assert!(error.contains("threshold") && error.contains("from 0 to 1"), "{error}");
        }
    }
}
