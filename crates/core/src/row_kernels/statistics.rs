use std::ops::Range;

use super::backend::Job;
use super::kernel::{BLOCK, PIECE, REACH, Weights, larger, maximum, weigh};
use super::maximum::{first_non_finite, row_maximum};
use crate::{RowStats, TokenId};

/// Log Z, entropy and the two largest probabilities of a row.
///
/// One pass over the row. The exponentials of a piece are summed relative to a *reference*, the maximum of an
/// earlier piece, and the maximum of the piece is taken in the same loop. If it lies more than [`REACH`]
/// above the reference, the piece is weighed again relative to it. In the end the sums are scaled to the
/// row's maximum, and the piece that holds it is searched for the token and the runner-up.
pub(super) struct Statistics<'a>(pub &'a [f32]);

impl Job for Statistics<'_> {
    type Output = Result<Option<RowStats>, usize>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Self::Output {
        let row = self.0;
        let (body, tail) = row.split_at(row.len() - row.len() % BLOCK);
        let (mut mass, mut leaders) = (Mass::default(), Leaders::default());
        for (piece, n) in body.chunks(PIECE).zip(0..) {
            leaders.update(mass.add::<FUSED>(piece), n * PIECE..n * PIECE + piece.len());
        }
        leaders.update(row_maximum(tail), body.len()..row.len());
        let Leaders { max, holder, others } = leaders;
        mass.relative_to(max);
        for &logit in tail {
            mass.add_one(logit);
        }
        if max == f32::INFINITY || mass.sum.is_nan() || mass.weighted.is_nan() {
            return first_non_finite(row).map_or(Ok(None), Err);
        }
        if max == f32::NEG_INFINITY {
            return Ok(None);
        }
        let first = holder.start;
        let holder = &row[holder];
        let place = holder.iter().position(|&logit| logit == max).unwrap_or(0);
        let rest = larger(row_maximum(&holder[..place]), row_maximum(&holder[place + 1..]));
        Ok(Some(mass.stats(first + place, larger(others, rest))))
    }
}

/// Σ e^z and Σ z e^z so far, with z = logit − reference.
struct Mass {
    /// −∞ before the first possible token.
    reference: f32,
    sum: f64,
    weighted: f64,
}

impl Default for Mass {
    fn default() -> Self {
        Self { reference: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 }
    }
}

impl Mass {
    /// Adds whole blocks, and returns their maximum.
    #[inline(always)]
    fn add<const FUSED: bool>(&mut self, piece: &[f32]) -> f32 {
        if self.reference == f32::NEG_INFINITY {
            self.reference = maximum(piece);
        }
        // Before the first possible token any finite number works: all terms are 0 or NaN.
        let origin = if self.reference == f32::NEG_INFINITY { 0.0 } else { self.reference };
        let mut weights = weigh::<FUSED>(piece, origin);
        if weights.max - origin > REACH {
            self.relative_to(weights.max);
            weights = weigh::<FUSED>(piece, weights.max);
        }
        let Weights { max, sum, weighted } = weights;
        self.sum += f64::from(sum);
        self.weighted += f64::from(weighted);
        max
    }

    /// Adds a single logit.
    fn add_one(&mut self, logit: f32) {
        if logit != f32::NEG_INFINITY {
            let z = f64::from(logit) - f64::from(self.reference);
            let e = z.exp();
            self.sum += e;
            self.weighted += z * e;
        }
    }

    /// Scales the sums to another reference.
    fn relative_to(&mut self, reference: f32) {
        if self.reference > f32::NEG_INFINITY {
            let z = f64::from(self.reference) - f64::from(reference);
            let e = z.exp();
            self.weighted = e * (self.weighted + z * self.sum);
            self.sum *= e;
        }
        self.reference = reference;
    }

    /// The statistics of a row whose maximum is the reference.
    fn stats(&self, top: usize, second: f32) -> RowStats {
        // The term of the maximum is 1, but rounding can leave less.
        let sum = self.sum.max(1.0);
        let (ln_sum, max) = (sum.ln(), f64::from(self.reference));
        RowStats {
            log_z: max + ln_sum,
            // Rounding can leave −1e-17 for a certain row.
            entropy: (ln_sum - self.weighted / sum).max(0.0),
            top: top as TokenId,
            p1: 1.0 / sum,
            p2: (f64::from(second) - max).exp() / sum,
        }
    }
}

/// The maximum so far, the first piece with it, and the largest maximum of the other pieces.
struct Leaders {
    max: f32,
    holder: Range<usize>,
    others: f32,
}

impl Default for Leaders {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, holder: 0..0, others: f32::NEG_INFINITY }
    }
}

impl Leaders {
    fn update(&mut self, max: f32, piece: Range<usize>) {
        if max > self.max {
            *self = Self { max, holder: piece, others: larger(self.others, self.max) };
        } else {
            self.others = larger(self.others, max);
        }
    }
}
