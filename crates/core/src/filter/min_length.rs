use super::{Filter, FilterRow};
use crate::top_k_rows::{TopKRequest, TopRow};
use crate::{Canvas, TokenId};

/// Rules out end tokens at the first n generated positions (`min_new_tokens`).
///
/// List the end-of-sequence id, and the padding id if it differs. Positions count from the first one that was
/// not given; with n = 0 the filter rules out nothing. Positions before an end token are generated even if
/// the end token is revealed first. Ids outside the vocabulary are ignored.
///
/// **Law.** That of [`Constrain`](super::Constrain) with all other tokens allowed at these positions. Source:
/// `min_new_tokens` of autoregressive generation, by position because tokens are not revealed in reading
/// order.
#[doc(alias = "min length")]
#[doc(alias = "min_new_tokens")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinLength {
    length: usize,
    ends: Vec<TokenId>,
}

impl MinLength {
    /// Creates a filter that keeps the tokens `ends` out of the first `length` generated positions.
    pub fn new(length: usize, ends: impl IntoIterator<Item = TokenId>) -> Self {
        Self { length, ends: ends.into_iter().collect() }
    }

    fn concerns(&self, position: usize, canvas: &Canvas) -> bool {
        position < canvas.free_span().start.saturating_add(self.length)
    }
}

impl Filter for MinLength {
    fn apply(&self, row: &mut FilterRow<'_>) {
        if !self.concerns(row.position, row.canvas) {
            return;
        }
        for &token in &self.ends {
            if let Some(logit) = row.logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        self.ends.iter().for_each(|&token| request.require_token(token));
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        !self.concerns(row.position, row.canvas)
            || self.ends.iter().all(|&token| row.rule_out(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Memory;

    #[test]
    fn the_prompt_does_not_count() {
        let canvas = Canvas::new(&[1, 1], 4, 9).unwrap();
        let ends = |length: usize, position: usize| {
            let (mut logits, mut scratch) = (vec![0.0; 3], Vec::new());
            let mut memory = Memory::default();
            MinLength::new(length, [0, 2, 50]).apply(&mut FilterRow::new(
                &mut logits,
                position,
                &canvas,
                &mut scratch,
                &mut memory,
            ));
            assert_eq!(logits[1], 0.0);
            logits[0] == 0.0 && logits[2] == 0.0
        };
        let free =
            |length: usize| (2..6).map(|position| ends(length, position)).collect::<Vec<_>>();
        assert_eq!(free(0), [true; 4]);
        assert_eq!(free(2), [false, false, true, true]);
        assert_eq!(free(usize::MAX), [false; 4]);
    }
}
