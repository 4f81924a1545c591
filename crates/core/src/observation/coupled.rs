//! Draws that accept a draft token with the probability of speculative sampling.

use super::view::Drawn;
use super::{Observation, Row, View};
use crate::draw::TopRule;
use crate::{Error, RowStats, TokenId};

impl View<'_> {
    /// Draws a token from a filtered row, and accepts the draft `guess` as often as possible.
    ///
    /// `guess` must have been drawn from the filtered logits `proposal` \[V\] by the same rule. The law is
    /// that of [`draw`](Self::draw). With p the row and q the proposal, the guess is kept with probability
    /// min(1, p/q); otherwise the token is drawn from the positive part of p − q (Leviathan et al., arXiv
    /// 2211.17192). Rules other than [`Categorical`](crate::draw::Categorical) ignore the guess.
    ///
    /// # Errors
    /// Those of [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    #[doc(alias = "speculative sampling")]
    #[doc(alias = "rejection sampling")]
    pub fn draw_coupled(
        &mut self,
        row: Row,
        guess: TokenId,
        proposal: &[f32],
    ) -> Result<Drawn, Error> {
        if self.config.draw.top_rule() != TopRule::Proportional {
            return self.draw(row);
        }
        let stats = RowStats::of(self.filtered(row)?).zip(RowStats::of(proposal));
        let Some((p, q)) = stats else { return self.draw(row) };
        let Observation { scratch, stream, .. } = &mut self.0;
        let of = |stats: &RowStats, row: &[f32]| {
            row.get(guess as usize).map_or(0.0, |&logit| stats.probability(logit))
        };
        let (p_guess, q_guess) = (of(&p, &scratch.row), of(&q, proposal));
        if p_guess > 0.0 && (p_guess >= q_guess || stream.chance(p_guess / q_guess)) {
            return self.drawn(row, guess as usize);
        }
        for (logit, &other) in scratch.row.iter_mut().zip(proposal) {
            *logit = (p.probability(*logit) - q.probability(other)).max(0.0).ln() as f32;
        }
        // If the rows differ by rounding only, no token may be left.
        let is_left = scratch.row.iter().any(|&logit| logit > f32::NEG_INFINITY);
        let token = if is_left { stream.categorical(&scratch.row) } else { guess as usize };
        self.filtered(row)?;
        self.drawn(row, token)
    }
}
