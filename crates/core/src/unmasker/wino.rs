use super::{Before, Next, Score, Turn, Unmasker, View};
use crate::Error;

/// WINO, "wide in, narrow out": reveals boldly, and doubts each revealed token by a row that sees
/// everything but that token.
///
/// With c the probability of the token drawn at a masked position, a step
/// - reveals all with c > τ₁, at most ⌊0.7 m⌋ of the m masked brought into 5 … 20, always the best one;
/// - masks again the revealed tokens whose probability, with their own position masked, is < τ₂: the
///   least probable first and at most b − 1 of them, b being how many the *previous* step revealed, and
///   none if this step reveals a single token.
///
/// So each step, the first apart, masks fewer than the one before it revealed, and a block of n
/// positions takes at most n steps. Probabilities are those of the rows as the model gave them. The
/// schedule is not asked.
///
/// **Law.** No closed one when tokens are sampled: *where* depends on *what* was drawn, as in
/// [`Confidence`](super::Confidence), and improbable tokens are drawn anew. With τ₂ = 0 nothing is
/// revoked, and it is the plain threshold sampler; with τ₁ = 1 it is `Confidence` at K = 1, whatever
/// τ₂.
///
/// Source: arXiv 2507.18578, defaults τ₁ = 0.6, τ₂ = 0.9. The reference appends a block of shadow masks
/// to the one forward: cheaper, but the other positions it looks at have seen the doubted token and
/// pass it on through the layers. Here each doubted token is truly hidden, at the cost of one more
/// canvas in the batch for each.
#[derive(Debug, Clone)]
pub struct Wino {
    reveal: f64,
    keep: f64,
    /// How many tokens the previous step revealed.
    last: usize,
    asked: Vec<usize>,
}

impl Wino {
    /// Reveals above τ₁ = `reveal`, masks again below τ₂ = `keep`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless both are from 0 to 1.
    pub fn new(reveal: f64, keep: f64) -> Result<Self, Error> {
        for (name, value) in [("WINO reveal threshold", reveal), ("WINO keep threshold", keep)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::parameter(name, value, "a number from 0 to 1"));
            }
        }
        Ok(Self { reveal, keep, last: 1, asked: Vec::new() })
    }

    /// Masks the most doubtful of the revealed tokens again.
    fn revoke(&self, view: &mut View<'_>) -> Result<(), Error> {
        let tokens = view.canvas().tokens();
        let doubt = |(n, &position): (usize, &usize)| {
            Ok((view.raw_probability(view.answer(n), tokens[position])?, position))
        };
        let doubted = self.asked.iter().enumerate().map(doubt);
        let mut doubted: Vec<(f64, usize)> = doubted.collect::<Result<_, Error>>()?;
        doubted.retain(|&(probability, _)| probability < self.keep);
        doubted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        doubted.iter().take(self.last - 1).for_each(|&(_, position)| view.remask(position));
        Ok(())
    }
}

impl Default for Wino {
    /// τ₁ = 0.6, τ₂ = 0.9.
    fn default() -> Self {
        Self { reveal: 0.6, keep: 0.9, last: 1, asked: Vec::new() }
    }
}

impl Unmasker for Wino {
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        self.asked.clear();
        if self.keep > 0.0 && self.last > 1 {
            self.asked.extend(before.canvas().revealed());
            self.asked.iter().for_each(|&position| before.ask_without(position, [position]));
        }
        Ok(Turn::Forward)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let drawn = Score::Raw.draw_all(view)?;
        view.rank_by_confidence();
        let sure = view.candidates().iter().filter(|c| c.confidence > self.reveal).count();
        let bold = sure.clamp(1, (drawn.len() * 7 / 10).clamp(5, 20));
        for rank in 0..bold {
            let candidate = view.ranked(rank);
            view.reveal(candidate, drawn[candidate]);
        }
        if bold > 1 {
            self.revoke(view)?;
        }
        self.last = bold;
        Ok(Next::EndStep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_probabilities() {
        assert!(Wino::new(0.0, 0.0).is_ok() && Wino::new(1.0, 1.0).is_ok());
        for (reveal, keep) in
            [(-0.1, 0.9), (1.1, 0.9), (f64::NAN, 0.9), (0.6, 1.5), (0.6, f64::NAN)]
        {
            let error = Wino::new(reveal, keep).unwrap_err().to_string();
            assert!(error.contains("WINO") && error.contains("from 0 to 1"), "{error}");
        }
    }
}
