//! Vectorised computations over a whole row of logits \[V\], in one or two passes over memory.
//!
//! The kernels compute [`RowStats`], the draws of [`SeededStream`](crate::SeededStream), the maxima and
//! masses for filters, and the check for NaN and +∞.
//!
//! Each kernel is written over arrays of 16 numbers and compiled for every back end: AVX-512, AVX2 with FMA,
//! and the target's baseline, which is SSE2 or NEON. A row is split into pieces of 256 logits, summed in
//! float32 within a piece and in float64 across pieces. The last V mod 64 logits, and so all of a short row,
//! are summed in float64 only. The result depends on the row only.
//!
//! **Accuracy.** e^z is within 4e-7 (relative) for |z| < 12, and is 0 below −88. Beyond |z| = 12 a token has
//! little weight even in a vocabulary of 160 K. log Z, H and the probabilities are within 1e-5 of float64 on
//! all tested rows. The largest error found was 3e-6, in a row whose terms all round alike.
//!
//! **Across CPUs.** Draws, and the masses for top-p, do not use fused multiply-add and have the same bits
//! everywhere. Statistics use it if the CPU has it: AVX-512, AVX2 and NEON return the same bits, and a CPU
//! without it may differ in the seventh digit.

mod backend;
mod inverse_cdf;
mod kernel;
mod maximum;
mod row_stats;
mod statistics;
#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use row_stats::RowStats;

impl Backend {
    /// Computes [`RowStats::of`] and reports NaN and +∞. `None` if no token is possible.
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

/// The token at the share `u` ∈ [0, 1) of the row's mass, the inverse of its cumulative distribution. The
/// frequencies of tokens are within 1e-6 of their probabilities, and a token of probability 0 is never
/// returned.
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

/// Replaces the content of `copy` by a row.
///
/// # Errors
/// The first token whose logit is NaN or +∞.
pub(crate) fn copy_finite(row: &[f32], copy: &mut Vec<f32>) -> Result<(), usize> {
    Backend::detect().run(maximum::CopyFinite { row, copy })
}
