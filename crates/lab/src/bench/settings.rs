use crate::Error;
use crate::comparison::Lines;
use crate::sampling::Sampling;

/// The strategies to measure, and on which prompts.
///
/// Each strategy continues the same random prompts, once to warm up and then `repeats` times.
#[derive(Debug, Clone)]
#[doc(alias = "throughput", alias = "latency")]
pub struct Bench {
    /// The strategies, and the K at which they are run.
    pub lines: Lines,
    /// Tokens of a prompt.
    pub prompt_length: u32,
    /// Tokens to generate.
    pub gen_length: u32,
    /// Sequences, each with a prompt of its own.
    pub num_samples: u32,
    /// Measured runs of each strategy.
    pub repeats: u32,
    /// The seed of prompts and draws.
    pub seed: u64,
    /// Filters, order, blocks and other settings of the draws.
    pub sampling: Sampling,
}

impl Bench {
    /// These lines on one sequence: a prompt of 8 tokens, 24 generated tokens, 5 repeats.
    pub fn new(lines: impl Into<Lines>) -> Self {
        Self {
            lines: lines.into(),
            prompt_length: 8,
            gen_length: 24,
            num_samples: 1,
            repeats: 5,
            seed: 0,
            sampling: Sampling::default(),
        }
    }

    /// Rejects settings that are invalid or would have no effect, before a model is opened.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Missing`] or [`Error::Unused`].
    pub fn check(&self) -> Result<(), Error> {
        let Self { prompt_length, gen_length, num_samples, repeats, .. } = *self;
        let counts = [
            ("prompt length", prompt_length),
            ("gen length", gen_length),
            ("num samples", num_samples),
            ("repeats", repeats),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(Error::parameter(name, value, "expected at least 1"));
            }
        }
        self.lines.check(&self.sampling, false)
    }
}
