use std::time::Duration;

use conjoint_core::Output;
use serde::{Deserialize, Serialize};

/// The cost of generation: numbers of calls, and the cost of a sampler pass relative to a full forward pass.
///
/// A *denoiser-equivalent forward* is the cost of one full forward pass of the frozen model. A sampler pass counts as its
/// measured share of that, so that work in the sampler layer is included. The work of an autoregressive scorer is not.
#[doc(alias = "NFE")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Full forward passes of the denoiser, one per canvas.
    pub denoiser_calls: f64,
    /// Denoising steps, summed over the sequences. A step takes one forward pass of the batch, unless it skips the forward.
    /// A strategy with several canvases per sequence has more `denoiser_calls` than rounds. 0 in reports of earlier versions.
    #[serde(default)]
    pub rounds: f64,
    /// Passes of the sampler layer.
    pub sampler_calls: f64,
    /// The cost of a sampler pass, in forwards. The paper's is about 0.12.
    pub sampler_cost: f64,
}

impl Cost {
    /// Sums the calls of all outputs, and computes the cost of a sampler pass from the time spent in `forwards` and `passes`
    /// of the same run. The cost of a pass depends on the strategy, so it is measured for each.
    ///
    /// Calls are counted per sequence; a batch makes many at once.
    pub fn measured(outputs: &[Output], forwards: Duration, passes: Duration) -> Self {
        let sum = |calls: fn(&Output) -> usize| outputs.iter().map(calls).sum::<usize>() as f64;
        let denoiser_calls = sum(|output| output.denoiser_calls);
        let sampler_calls = sum(|output| output.sampler_calls);
        let forward = forwards.as_secs_f64() / denoiser_calls;
        let pass = passes.as_secs_f64() / sampler_calls;
        let cost = pass / forward;
        let sampler_cost = if cost.is_finite() { cost } else { 0.0 };
        let rounds = sum(|output| output.steps);
        Self { denoiser_calls, rounds, sampler_calls, sampler_cost }
    }

    /// Denoiser-equivalent forwards: denoiser calls + sampler calls × sampler cost.
    pub fn forwards(&self) -> f64 {
        self.denoiser_calls + self.sampler_calls * self.sampler_cost
    }

    /// ρ, the tokens per denoiser-equivalent forward: sampler passes count at their measured cost.
    /// [`Point::tokens_per_forward`](crate::Point::tokens_per_forward) is another quantity: it counts full forwards only.
    pub fn tokens_per_forward(&self, tokens: u64) -> f64 {
        tokens as f64 / self.forwards()
    }

    /// Denoiser-equivalent forwards per token.
    pub fn forwards_per_token(&self, tokens: u64) -> f64 {
        self.forwards() / tokens as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(denoiser_calls: usize, sampler_calls: usize) -> Output {
        let mut output = Output::new(vec![0; 8], 0..8);
        (output.denoiser_calls, output.sampler_calls) = (denoiser_calls, sampler_calls);
        output.steps = 2;
        output
    }

    #[test]
    fn a_sampler_pass_counts_at_its_measured_cost() {
        let ms = Duration::from_millis;
        // 10 ms a forward, 1.25 ms a pass.
        let cost =
            Cost::measured(&[output(2, 6), output(3, 4)], ms(50), Duration::from_micros(12_500));
        assert_eq!((cost.denoiser_calls, cost.sampler_calls), (5.0, 10.0));
        assert!((cost.sampler_cost - 0.125).abs() < 1e-12);
        let cost = Cost { sampler_cost: 0.125, ..cost };
        assert_eq!(cost.rounds, 4.0);
        assert_eq!(cost.forwards(), 6.25);
        assert_eq!(cost.tokens_per_forward(16), 2.56);
        assert_eq!(cost.forwards_per_token(16), 0.390625);
    }

    #[test]
    fn without_passes_only_forwards_count() {
        for outputs in [vec![output(2, 0)], vec![]] {
            let cost = Cost::measured(&outputs, Duration::from_secs(1), Duration::ZERO);
            assert_eq!((cost.sampler_cost, cost.forwards()), (0.0, cost.denoiser_calls));
        }
    }
}
