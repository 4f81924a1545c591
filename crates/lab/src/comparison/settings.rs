use super::{External, Lines, Metric, Texts};
use crate::Error;
use crate::sampling::{Sampling, Stops};

/// The strategies to compare, on which texts, and by which metrics.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The strategies, and the K at which they are run.
    pub lines: Lines,
    /// The beginnings and the length of the texts.
    pub texts: Texts,
    /// Texts of each point.
    pub num_samples: u32,
    /// Seeds. Each makes a point of its own.
    pub seeds: Vec<u64>,
    /// Filters, order, blocks and other settings of the draws.
    pub sampling: Sampling,
    /// What to measure.
    pub metrics: Vec<Metric>,
    /// The evaluator of [`Metric::ExternalNll`]: a language model that takes no part in the sampling.
    pub external: External,
}

impl Comparison {
    /// These lines on 512 texts of one seed, by [`Metric::Right`], [`Metric::Parses`] and [`Metric::Nll`].
    pub fn new(lines: impl Into<Lines>) -> Self {
        Self {
            lines: lines.into(),
            texts: Texts::default(),
            num_samples: 512,
            seeds: vec![0],
            sampling: Sampling::default(),
            metrics: vec![Metric::Right, Metric::Parses, Metric::Nll],
            external: External::default(),
        }
    }

    /// Rejects settings that are invalid or would have no effect, before a model is opened.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Missing`] or [`Error::Unused`].
    pub fn check(&self) -> Result<(), Error> {
        if self.num_samples < 2 {
            let reason = "expected at least 2, for a confidence interval";
            return Err(Error::parameter("num samples", self.num_samples, reason));
        }
        if self.seeds.is_empty() {
            return Err(Error::missing("seeds", "give at least one"));
        }
        if self.texts.packed && self.sampling.stops != Stops::default() {
            let reason = "a text then ends at its first end token: give no stop";
            return Err(Error::unused("packed", "", reason));
        }
        let runs_exact = self.metrics.iter().any(|metric| metric.runs_exact());
        self.lines.check(&self.sampling, runs_exact)?;
        self.external.check(&self.metrics)
    }
}
