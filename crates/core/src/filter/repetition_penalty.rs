use super::{Filter, FilterRow};
use crate::{Error, range};

/// Lowers the logits of tokens that are on the canvas already: divides positive ones by θ, multiplies
/// negative ones by θ.
///
/// Given and revealed tokens count, each once. The mask and the row's own position do not count. With a
/// [window](Self::window) w, only positions at most w away count, on either side.
///
/// θ scales the distance to 0, not to the other logits, so the result depends on the offset of the model's
/// logits. Put the filter first in a chain, on the logits of the model.
///
/// **Law.** The rows depend on the revealed tokens in a way that no joint has as its conditionals. So the
/// order of revealing changes the law even at one token per forward. With θ = 1 rows do not change. Source:
/// CTRL (arXiv 1909.05858), θ = 1.2, there over the preceding tokens.
#[doc(alias = "repetition penalty")]
#[doc(alias = "CTRL")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepetitionPenalty {
    theta: f32,
    window: Option<usize>,
}

impl RepetitionPenalty {
    /// Creates a filter with θ over the whole canvas.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless θ is finite and at least 1.
    pub fn new(theta: f64) -> Result<Self, Error> {
        Ok(Self { theta: range::within_f32("repetition penalty", theta, 1.0..)?, window: None })
    }

    /// Counts only positions at most this far away, on either side.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn window(self, positions: usize) -> Result<Self, Error> {
        Ok(Self { window: Some(range::at_least("repetition window", positions, 1)?), ..self })
    }

    fn penalised(&self, logit: f32) -> f32 {
        let scaled = if logit > 0.0 { logit / self.theta } else { logit * self.theta };
        // A possible token stays possible.
        if logit > f32::NEG_INFINITY { scaled.max(f32::MIN) } else { logit }
    }
}

impl Filter for RepetitionPenalty {
    fn apply(&self, row: &mut FilterRow<'_>) {
        let (tokens, mask, position) = (row.canvas.tokens(), row.canvas.mask(), row.position);
        let reach = self.window.unwrap_or(tokens.len());
        let end = position.saturating_add(reach).saturating_add(1).min(tokens.len());
        let near = position.saturating_sub(reach)..end;
        let others = near.filter(|&other| other != position).map(|other| tokens[other]);
        row.scratch.clear();
        row.scratch.extend(others.filter(|&token| token != mask).map(|token| (0.0, token)));
        row.scratch.sort_unstable_by_key(|&(_, token)| token);
        row.scratch.dedup_by_key(|&mut (_, token)| token);
        for &(_, token) in row.scratch.iter() {
            if let Some(logit) = row.logits.get_mut(token as usize) {
                *logit = self.penalised(*logit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canvas;
    use crate::filter::Memory;

    /// The row of `position` on a canvas whose mask is 9.
    fn at(filter: RepetitionPenalty, tokens: &[u32], position: usize, logits: &[f32]) -> Vec<f32> {
        let canvas = Canvas::infill(tokens.to_vec(), 9).unwrap();
        let (mut logits, mut scratch) = (logits.to_vec(), vec![(1.0, 7)]);
        let mut memory = Memory::default();
        let row = &mut FilterRow::new(&mut logits, position, &canvas, &mut scratch, &mut memory);
        filter.apply(row);
        logits
    }

    #[test]
    fn known_tokens_count_once_and_the_mask_and_the_own_position_do_not() {
        let two = RepetitionPenalty::new(2.0).unwrap();
        let row = [4.0, -4.0, 4.0, f32::NEG_INFINITY, 0.0, 1.0, 1.0, 1.0, 1.0, 8.0];
        let after = at(two, &[0, 0, 1, 9, 3], 3, &row);
        assert_eq!(after, [2.0, -8.0, 4.0, f32::NEG_INFINITY, 0.0, 1.0, 1.0, 1.0, 1.0, 8.0]);
        let own = at(two, &[0, 0, 1, 9, 3], 2, &row);
        assert_eq!(own[..3], [2.0, -4.0, 4.0]);
        assert_eq!(at(RepetitionPenalty::new(1.0).unwrap(), &[0, 1, 9], 2, &row), row);
    }

    #[test]
    fn a_window_reaches_to_both_sides() {
        let near = RepetitionPenalty::new(2.0).unwrap().window(1).unwrap();
        let after = at(near, &[0, 1, 9, 2, 3], 2, &[4.0; 4]);
        assert_eq!(after, [4.0, 2.0, 2.0, 4.0]);
        let all = near.window(usize::MAX).unwrap();
        assert_eq!(at(all, &[0, 1, 9, 2, 3], 2, &[4.0; 4]), [2.0; 4]);
    }

    #[test]
    fn invalid_values_are_rejected() {
        for bad in [0.9, -1.0, f64::NAN, f64::INFINITY] {
            let error = RepetitionPenalty::new(bad).unwrap_err().to_string();
            assert!(error.contains("repetition") && error.contains("at least 1"), "{error}");
        }
        assert!(RepetitionPenalty::new(1.2).unwrap().window(0).is_err());
    }
}
