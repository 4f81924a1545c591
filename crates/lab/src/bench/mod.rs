//! Measures how fast strategies generate, and where the time of a step goes.
//!
//! ```no_run
//! use conjoint_lab::{Model, Registry, bench::Bench};
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let model = Model::open("models/tiny")?;
//! let registry = Registry::builtin();
//! let bench = Bench::new(vec![registry.line("exact")?, registry.line("joint")?]);
//! let report = bench.run(&model, &())?;
//! println!("{}", report.table());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod measure;
mod report;
mod run;
mod settings;
mod stopwatch;

pub use report::{Milliseconds, Report, Run};
pub use settings::Bench;
pub use stopwatch::{HostTime, Stopwatch};
