use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::row_kernels;

/// The source of randomness of one sequence.
///
/// Every random decision of this crate is a choice among finitely many outcomes with known probabilities,
/// made through this trait. So `conjoint-testkit` can enumerate all outcomes and compute the exact law of a
/// strategy.
#[doc(alias = "RNG")]
#[doc(alias = "random number generator")]
pub trait Stream: Send {
    /// Draws an index with probability softmax(logits). No logit is NaN or +∞, and at least one is finite.
    fn categorical(&mut self, logits: &[f32]) -> usize;

    /// Draws an index uniformly from 0..n. `n` must be at least 1.
    fn below(&mut self, n: usize) -> usize;

    /// Returns true with probability `p`, clamped to [0, 1].
    fn chance(&mut self, p: f64) -> bool {
        let p = p.clamp(0.0, 1.0);
        self.categorical(&[(1.0 - p).ln() as f32, p.ln() as f32]) == 1
    }
}

/// The default [`Stream`]: ChaCha8 with one stream for each sequence.
///
/// The same seed and sequence give the same draws on every machine and in every batch.
#[derive(Debug, Clone)]
pub struct SeededStream(ChaCha8Rng);

impl SeededStream {
    /// Creates the stream of one sequence.
    pub fn new(seed: u64, sequence: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(sequence);
        Self(rng)
    }
}

impl Stream for SeededStream {
    /// Draws by inverse CDF with one uniform number. The frequency of a token is within 1e-6 of its
    /// probability in a long row, whose weights are float32, and within 1e-15 in a row below 64 logits. The
    /// weights have the same bits on every CPU.
    fn categorical(&mut self, logits: &[f32]) -> usize {
        row_kernels::inverse_cdf(logits, self.0.random::<f64>())
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned() {
        let mut stream = SeededStream::new(7, 3);
        let logits = [0.0, 1.0, f32::NEG_INFINITY, 2.0];
        let drawn: Vec<usize> = (0..12).map(|_| stream.categorical(&logits)).collect();
        let below: Vec<usize> = (0..12).map(|_| stream.below(10)).collect();
        assert_eq!(drawn, [1, 1, 3, 1, 3, 3, 3, 1, 1, 3, 3, 3]);
        assert_eq!(below, [4, 8, 1, 3, 5, 0, 3, 6, 6, 3, 6, 7]);
    }

    #[test]
    fn streams_differ_by_sequence_and_seed() {
        let draws = |seed, sequence| {
            let mut stream = SeededStream::new(seed, sequence);
            (0..16).map(|_| stream.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, 0), draws(1, 0));
        assert_ne!(draws(1, 0), draws(1, 1));
        assert_ne!(draws(1, 0), draws(2, 0));
    }

    #[test]
    fn impossible_indices_are_never_drawn() {
        let mut stream = SeededStream::new(0, 0);
        let logits = [f32::NEG_INFINITY, -1e30, f32::NEG_INFINITY];
        assert!((0..1000).all(|_| stream.categorical(&logits) == 1));
    }
}
