//! The module `conjoint._native` of the Python package `conjoint`.
//!
//! Python's arguments become the settings of `conjoint-lab`, which the command uses too. So names, checks and messages are
//! the same. Forwards run without the interpreter's lock.

mod error;
mod export;
mod generate;
mod kwargs;
mod model;
mod names;
mod open;
mod prompts;
mod result;
mod runtime;
mod settings;
mod step;
mod steps;
mod strategies;
mod watch;

#[pyo3::pymodule(name = "_native")]
mod native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::error::Error;
    #[pymodule_export]
    use crate::export::export;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::open::open;
    #[pymodule_export]
    use crate::result::GenerationResult;
    #[pymodule_export]
    use crate::step::{Rows, Step};
    #[pymodule_export]
    use crate::steps::Steps;
    #[pymodule_export]
    use crate::strategies::strategies;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Without numpy, the first array would be a panic.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.py().import("numpy").map(drop)
    }
}
