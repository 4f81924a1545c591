//! Strategies side by side: texts generated, judged and costed, one resumable point after the other.
//!
//! A [`Comparison`] says what is compared. [`Comparison::run`] plans its points, generates the texts of each, judges them,
//! and keeps point and report in a folder:
//!
//! ```no_run
//! use conjoint_lab::{Model, Registry, comparison::{Comparison, Metric}};
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let model = Model::open("models/tiny")?;
//! let registry = Registry::builtin();
//! let lines = ["exact", "joint", "marginal+threshold:0.9"].map(|line| registry.line(line));
//! let lines: Vec<_> = lines.into_iter().collect::<Result<_, _>>()?;
//! let comparison = Comparison { metrics: vec![Metric::Right], ..Comparison::new(lines) };
//! let report = comparison.run(&model, "runs/compare", &())?;
//! println!("{}", report.markdown());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod external;
mod fitting;
mod folder;
mod judge;
mod lines;
mod metric;
mod plan;
mod run;
mod texts;

use std::path::Path;
use std::sync::Arc;

pub use conjoint_corpus::Domain;
pub use conjoint_eval::{Measured, Point, Report};
pub use external::External;
pub use folder::markdown;
pub use lines::{Lines, Setting};
pub use metric::Metric;
pub use texts::{Beginnings, Texts};

use crate::Error;
use crate::model::Model;
use crate::progress::Progress;
use crate::sampling::Sampling;

/// What is compared, and by which metrics.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The strategies, and the K at which they are run.
    pub lines: Lines,
    /// What the texts begin with.
    pub texts: Texts,
    /// Texts a point.
    pub num_samples: u32,
    /// Each makes a point of its own.
    pub seeds: Vec<u64>,
    /// From what, where and how many at a time tokens are drawn.
    pub sampling: Sampling,
    /// What is measured of the texts.
    pub metrics: Vec<Metric>,
    /// The judge of [`Metric::ExternalNll`].
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

    /// Rejects what cannot work or would have no effect, before a model is opened.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Missing`] or [`Error::Unused`].
    pub fn check(&self) -> Result<(), Error> {
        if self.num_samples < 2 {
            let reason = "expected at least 2, for an interval";
            return Err(Error::parameter("num samples", self.num_samples, reason));
        }
        if self.seeds.is_empty() {
            return Err(Error::missing("seeds", "give at least one"));
        }
        let runs_exact = self.metrics.iter().any(|metric| metric.runs_exact());
        self.lines.check(&self.sampling, runs_exact)?;
        self.external.check(&self.metrics)
    }

    /// Runs every line at each of its settings and seeds, by the metrics that say something about its texts, and writes `report.json`, `report.md` and an SVG for each figure
    /// into the folder `out`. A comparison found there goes on where it stopped.
    ///
    /// # Errors
    /// Those of [`check`](Self::check). [`Error::Parameter`] for `out`, if the folder was begun with other settings, and for
    /// `metrics`, if none is left.
    /// Whatever a strategy, the model or a metric says.
    pub fn run(
        &self,
        model: &Arc<Model>,
        out: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<Report, Error> {
        self.check()?;
        run::run(self, model, out.as_ref(), progress)
    }
}
