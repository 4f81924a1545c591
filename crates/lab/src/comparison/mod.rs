//! Compares strategies in quality and cost. An interrupted comparison can be resumed.
//!
//! - A *line* is a strategy with its own schedule and reviser, if it has any. It is one line of the plots.
//! - A *setting* is the schedule at which a line runs: its own one, or a number of tokens per step K. Its name is `K = 4`.
//! - A *point* is the result of a line at one setting with one seed: its cost, and a value with an interval for each metric.
//!
//! [`Comparison::run`] plans the points, generates the texts of each, measures them, and writes points and report to a folder:
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
mod settings;
mod texts;
mod validity;

pub use conjoint_corpus::Domain;
pub use conjoint_eval::{Measured, Point, Report};
pub use external::External;
pub use folder::markdown;
pub use lines::{Lines, Setting};
pub use metric::Metric;
pub use settings::Comparison;
pub use texts::{Beginnings, Texts};
