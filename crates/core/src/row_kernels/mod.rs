//! What is read off a whole row of logits \[V\], in one or two passes over memory and on the widest
//! vectors that the CPU has.
//!
//! The statistics behind [`RowStats`], the draws of [`SeededStream`](crate::SeededStream), the maxima and
//! masses that filters ask for, and the check for NaN and +∞ are all made here.
//!
//! There is one kernel for each, written over arrays of 16 numbers and compiled for every back end: AVX-512,
//! AVX2 with FMA, and the target's baseline, which is SSE2 or NEON. A row is cut into pieces of 256
//! logits, summed in float32 within a piece and in float64 across them; the last V mod 64 logits, so all of
//! a short row, are summed in float64 alone. A row's result depends on nothing but the row.
//!
//! **Accuracy.** e^z is within 4e-7 (relative) for |z| < 12, beyond which lies nothing that could weigh
//! much in a vocabulary of 160 K, and is 0 below −88. log Z, H and the probabilities are within 1e-5 of
//! float64, tested on rows of every kind; the worst found, where all terms round alike, was 3e-6.
//!
//! **Across CPUs.** Draws, and the masses that top-p cuts at, do without fused multiply-add and have the
//! same bits everywhere. The statistics fuse where the CPU can: AVX-512, AVX2 and NEON agree to the
//! bit, a CPU without may differ from them in the seventh digit.

use crate::RowStats;

mod backend;
mod inverse_cdf;
mod kernel;
mod maximum;
mod statistics;
#[cfg(test)]
mod tests;

pub use backend::Backend;

impl Backend {
    /// As [`RowStats::of`], but says what is wrong with a row. `None` if nothing in it is possible.
    ///
    /// # Errors
    /// The first token whose logit is NaN or +∞.
    pub fn stats(self, row: &[f32]) -> Result<Option<RowStats>, usize> {
        self.run(statistics::Statistics(row))
    }
}

/// Σ e^(logit − max), with the row's `max` as from [`largest`].
pub(crate) fn total(row: &[f32], max: f32) -> f64 {
    Backend::detect().run(inverse_cdf::Total { row, max })
}

/// The token at the share `u` ∈ [0, 1) of the row's mass, the inverse of its cumulative distribution; the
/// shares of tokens are within 1e-6 of their probabilities, and none of probability 0 is answered.
pub(crate) fn inverse_cdf(row: &[f32], u: f64) -> usize {
    Backend::detect().run(inverse_cdf::InverseCdf { row, u })
}

/// The largest logit; −∞ for an empty row.
pub(crate) fn largest(row: &[f32]) -> f32 {
    Backend::detect().run(maximum::Largest(row))
}

/// The lowest id among those of the largest logit; 0 for an empty row.
pub(crate) fn argmax(row: &[f32]) -> usize {
    Backend::detect().run(maximum::Argmax(row))
}

/// Puts a row in the place of what `copy` holds.
///
/// # Errors
/// The first token whose logit is NaN or +∞.
pub(crate) fn copy_finite(row: &[f32], copy: &mut Vec<f32>) -> Result<(), usize> {
    Backend::detect().run(maximum::CopyFinite { row, copy })
}
