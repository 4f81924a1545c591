use conjoint_core::Output;
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, Error, Measured};

/// What generating took: calls, and what a sampler pass costs beside a full forward.
///
/// A *denoiser-equivalent forward* is the price of one full forward of the frozen model; a sampler
/// pass counts as the share of it that was measured, so that a strategy cannot hide work in its
/// sampler layer. What an autoregressive scorer does is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Full forwards of the denoiser: one for each canvas.
    pub denoiser_calls: f64,
    /// Denoising steps. Each takes one forward of the batch, in which a sequence may have several canvases, unless it
    /// is skipped. 0 in reports of earlier versions.
    #[serde(default)]
    pub rounds: f64,
    /// Passes of the sampler layer.
    pub sampler_calls: f64,
    /// One sampler pass in forwards; the paper's is about 0.12.
    pub sampler_cost: f64,
}

impl Cost {
    /// The calls of all outputs together.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the sampler's cost is a finite number, at least 0.
    pub fn of(outputs: &[Output], sampler_cost: f64) -> Result<Self, Error> {
        if !(sampler_cost.is_finite() && sampler_cost >= 0.0) {
            let expected = "a finite number, at least 0";
            return Err(Error::parameter("sampler cost", sampler_cost, expected));
        }
        let sum = |calls: fn(&Output) -> usize| outputs.iter().map(calls).sum::<usize>() as f64;
        Ok(Self {
            denoiser_calls: sum(|output| output.denoiser_calls),
            rounds: sum(|output| output.steps),
            sampler_calls: sum(|output| output.sampler_calls),
            sampler_cost,
        })
    }

    /// Denoiser-equivalent forwards: denoiser calls + sampler calls × sampler cost.
    pub fn forwards(&self) -> f64 {
        self.denoiser_calls + self.sampler_calls * self.sampler_cost
    }

    /// ρ: tokens a denoiser-equivalent forward.
    pub fn tokens_per_forward(&self, tokens: u64) -> f64 {
        tokens as f64 / self.forwards()
    }

    /// Denoiser-equivalent forwards a token.
    pub fn forwards_per_token(&self, tokens: u64) -> f64 {
        self.forwards() / tokens as f64
    }
}

/// What one sampler pass costs in full forwards: the median over pairs of seconds, each a pass and the
/// forward right before it, of pass / forward. `n` of the result counts the pairs.
///
/// Both of a pair are over the same batch and the same rows, and one after the other, so that whatever else the
/// machine does slows both; the median leaves out the pairs in which it slowed only one.
///
/// # Errors
/// [`Error::Empty`], and [`Error::Parameter`] if a time is not a finite number above 0.
pub fn sampler_cost(pairs: &[(f64, f64)], bootstrap: &Bootstrap) -> Result<Measured, Error> {
    for &(pass, forward) in pairs {
        crate::error::positive("seconds of a pass", pass)?;
        crate::error::positive("seconds of a forward", forward)?;
    }
    let ratios: Vec<f64> = pairs.iter().map(|(pass, forward)| pass / forward).collect();
    bootstrap.one(&ratios, median)
}

/// The number in the middle, or the mean of the two; NaN of none.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => 0.5 * (sorted[half - 1] + sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_core::FinishReason;

    fn output(denoiser_calls: usize, sampler_calls: usize) -> Output {
        let (tokens, generated) = (vec![0; 8], 0..8);
        let finish = FinishReason::Length;
        Output { tokens, generated, drawn: 8, denoiser_calls, sampler_calls, steps: 2, finish }
    }

    #[test]
    fn a_sampler_pass_counts_as_its_share() {
        let cost = Cost::of(&[output(2, 6), output(3, 4)], 0.125).unwrap();
        assert_eq!((cost.denoiser_calls, cost.sampler_calls), (5.0, 10.0));
        assert_eq!(cost.rounds, 4.0);
        assert_eq!(cost.forwards(), 6.25);
        assert_eq!(cost.tokens_per_forward(16), 2.56);
        assert_eq!(cost.forwards_per_token(16), 0.390625);
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(Cost::of(&[], bad).is_err());
        }
    }

    #[test]
    fn the_cost_of_a_pass_is_the_median_of_its_pairs() {
        // The machine slows down by ten, and now and then a single call by far more.
        let mut pairs = Vec::new();
        for i in 0..40 {
            let (busy, share) = (if i < 20 { 1.0 } else { 10.0 }, 0.2 + 0.001 * f64::from(i % 5));
            pairs.push((busy * share, busy));
        }
        (pairs[3].0, pairs[30].1) = (9.0, 900.0);
        let cost = sampler_cost(&pairs, &Bootstrap::new(1)).unwrap();
        assert!((cost.value - 0.202).abs() < 1e-3, "{cost}");
        assert!(cost.low >= 0.2 && cost.high <= 0.204 + 1e-9 && cost.n == 40, "{cost}");
        assert!(cost.low < cost.value && cost.value < cost.high, "{cost}");
        assert!(matches!(sampler_cost(&[], &Bootstrap::new(1)), Err(Error::Empty(_))));
        for bad in [(0.0, 1.0), (1.0, f64::NAN)] {
            assert!(sampler_cost(&[bad], &Bootstrap::new(1)).is_err());
        }
    }
}
