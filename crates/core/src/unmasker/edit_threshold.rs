use super::{Before, Next, Score, Turn, Unmasker, View};
use crate::Error;

/// LLaDA2.1's joint threshold: reveals what it is sure of, and replaces what it has become sure is
/// wrong.
///
/// A step draws a token at every masked *and* every revealed position of the block, p being its
/// probability in the filtered row. Masked positions with p > τ are revealed, always the best one;
/// where a token stands already, a different one with p > τₑ takes its place. All rows are of one
/// forward: editing costs none.
///
/// It ends: each step reveals a masked position and an edit leaves nothing masked, so a block of n
/// positions takes at most n steps, and none of its tokens is edited more than n − 1 times. The
/// schedule is not asked.
///
/// **Law.** Biased when tokens are sampled, as [`Confidence`](super::Confidence): *where* depends on
/// *what* was drawn. With τₑ = 1 nothing is edited, and it is the plain threshold sampler; with τ = 1
/// too it is `Confidence` by [`Score::Filtered`] at K = 1.
///
/// Source: LLaDA2.1 (arXiv 2602.08676), defaults τ = 0.7, τₑ = 0.5 ("quality"; 0.5 and 0 are "speed").
/// Editing ends with the block's last mask here; the reference goes on for up to 16 more forwards.
#[derive(Debug, Clone)]
pub struct EditThreshold {
    reveal: f64,
    edit: f64,
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
        Ok(Self { reveal, edit, asked: Vec::new() })
    }
}

impl Default for EditThreshold {
    /// τ = 0.7, τₑ = 0.5.
    fn default() -> Self {
        Self { reveal: 0.7, edit: 0.5, asked: Vec::new() }
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
        for rank in 0..sure.max(1) {
            let candidate = view.ranked(rank);
            view.reveal(candidate, drawn[candidate]);
        }
        for (n, &position) in self.asked.iter().enumerate() {
            let new = view.draw(view.answer(n))?;
            if new.probability > self.edit && new.token != view.canvas().tokens()[position] {
                view.replace(position, new);
            }
        }
        Ok(Next::EndStep)
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
