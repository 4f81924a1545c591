use std::collections::BTreeMap;

use super::{Filter, FilterRow};
use crate::{Error, RowStats, TokenId, range};

/// Raises the logits of tokens that stay the most probable ones of a position over several steps.
///
/// In each step and for each masked position i, with v its most probable token and p₁ the probability of v,
///
/// M(i, ·) ← β M(i, ·), then M(i, v) ← M(i, v) + p₁^γ,
///
/// and every row gains α ln(1 + M(i, ·)). The credit of a step counts in that step already, and in the rows
/// of its sampler passes. Credits start at 0 in each block. p₁ is that of the row that reaches this filter,
/// so place it before a temperature.
///
/// **Law.** None is claimed: earlier rows sharpen later ones. With α = 0 rows do not change. Source:
/// CreditDecoding (arXiv 2510.06133) as dInfer implements it: α = 0.7, β = 0.8, γ = 0.2 (the paper's values
/// are reported as 0.65, 0.7, 0.2), with [`Threshold`](crate::schedule::Threshold) 0.9.
#[doc(alias = "trace credit")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CreditDecoding {
    alpha: f64,
    beta: f64,
    gamma: f64,
}

/// The credits of one sequence.
#[derive(Default)]
struct Credits {
    /// Where the current block begins.
    block: usize,
    step: usize,
    /// M: by position, the tokens that have been the most probable one there.
    credits: BTreeMap<usize, Vec<(TokenId, f64)>>,
}

impl Credits {
    /// Begins a step unless it has begun.
    fn begin(&mut self, block: usize, step: usize, beta: f64) {
        if self.block != block {
            *self = Self { block, step, credits: BTreeMap::new() };
        } else if self.step != step {
            self.step = step;
            self.credits.values_mut().flatten().for_each(|(_, credit)| *credit *= beta);
        }
    }

    fn add(&mut self, position: usize, token: TokenId, credit: f64) {
        let credits = self.credits.entry(position).or_default();
        match credits.iter_mut().find(|(known, _)| *known == token) {
            Some((_, known)) => *known += credit,
            None => credits.push((token, credit)),
        }
    }
}

impl CreditDecoding {
    /// Creates a filter with weight α, decay β and exponent γ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless α and γ are finite and at least 0, and 0 ≤ β ≤ 1.
    pub fn new(alpha: f64, beta: f64, gamma: f64) -> Result<Self, Error> {
        Ok(Self {
            alpha: range::non_negative("alpha", alpha)?,
            beta: range::probability("beta", beta)?,
            gamma: range::non_negative("gamma", gamma)?,
        })
    }
}

impl Default for CreditDecoding {
    /// α = 0.7, β = 0.8, γ = 0.2.
    fn default() -> Self {
        Self { alpha: 0.7, beta: 0.8, gamma: 0.2 }
    }
}

impl Filter for CreditDecoding {
    fn apply(&self, row: &mut FilterRow<'_>) {
        let (position, canvas) = (row.position, row.canvas);
        let credits = row.memory.of::<Credits>();
        if row.first && canvas.is_masked(position) {
            credits.begin(canvas.block().start, row.step, self.beta);
            if let Some(stats) = RowStats::of(row.logits) {
                credits.add(position, stats.top, stats.p1.powf(self.gamma));
            }
        }
        for &(token, credit) in credits.credits.get(&position).into_iter().flatten() {
            row.logits[token as usize] += (self.alpha * credit.ln_1p()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canvas;
    use crate::filter::Memory;

    #[test]
    fn credit_grows_decays_and_ends_with_the_block() {
        let filter = CreditDecoding::default();
        let canvas = Canvas::unconditional(4, 9).unwrap().in_block(0..2).unwrap();
        let mut memory = Memory::default();
        let mut logit = |canvas: &Canvas, row: [f32; 2], step: usize, first: bool| {
            let mut logits = row;
            let mut scratch = Vec::new();
            let mut row = FilterRow::new(&mut logits, 1, canvas, &mut scratch, &mut memory);
            (row.step, row.first) = (step, first);
            filter.apply(&mut row);
            logits
        };
        let p1 = |gap: f64| (1.0 / (1.0 + (-gap).exp())).powf(0.2);
        let gain = |credit: f64| (0.7 * credit.ln_1p()) as f32;
        let near = |got: [f32; 2], expected: [f32; 2]| {
            assert!((got[0] - expected[0]).abs() + (got[1] - expected[1]).abs() < 1e-6, "{got:?}");
        };
        near(logit(&canvas, [1.0, 0.0], 0, true), [1.0 + gain(p1(1.0)), 0.0]);
        // Filtered again: the same row, no new credit.
        near(logit(&canvas, [1.0, 0.0], 0, false), [1.0 + gain(p1(1.0)), 0.0]);
        // Another token leads: the old credit decays.
        let (old, new) = (0.8 * p1(1.0), p1(2.0));
        near(logit(&canvas, [0.0, 2.0], 3, true), [gain(old), 2.0 + gain(new)]);
        // A new block begins without credits.
        let next = canvas.in_block(1..3).unwrap();
        near(logit(&next, [0.0, 2.0], 4, true), [0.0, 2.0 + gain(p1(2.0))]);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(CreditDecoding::new(0.0, 1.0, 0.0).is_ok());
        for (alpha, beta, gamma) in [(-1.0, 0.5, 0.2), (0.7, 1.1, 0.2), (0.7, 0.8, f64::NAN)] {
            assert!(CreditDecoding::new(alpha, beta, gamma).is_err());
        }
    }
}
