//! How a model is to be run.

use std::path::{Path, PathBuf};

use crate::ExecutionProvider;

/// Where and with how many threads a model runs.
///
/// An [`ExecutionProvider`] alone serves wherever options do:
///
/// ```
/// use conjoint_onnx::{ExecutionProvider, OnnxOptions};
/// let plain: OnnxOptions = ExecutionProvider::Cpu.into();
/// assert_eq!(plain, OnnxOptions::default());
/// let one_thread = OnnxOptions::new(ExecutionProvider::Cpu).threads(1);
/// # assert_ne!(plain, one_thread);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    pub(crate) provider: ExecutionProvider,
    pub(crate) threads: usize,
    pub(crate) runtime: Option<PathBuf>,
}

impl OnnxOptions {
    /// On this execution provider, with the thread pool that all models share.
    pub fn new(provider: ExecutionProvider) -> Self {
        Self { provider, ..Self::default() }
    }

    /// Gives each graph a pool of `count` threads of its own; with 1, the calling thread does all.
    /// 0, the default, is the pool that all models share, of one thread per core.
    ///
    /// The threads of such pools spin within a run and stop after it, since the graphs of a model take
    /// turns. As by ONNX Runtime's own defaults, weights are packed for matrix products on loading,
    /// at the price of a copy of them in memory, and outputs come from an arena: both were measured to be
    /// worth it.
    pub fn threads(self, count: usize) -> Self {
        Self { threads: count, ..self }
    }

    /// Loads ONNX Runtime from this library instead of [looking for it](crate::runtime).
    pub fn runtime(self, library: impl AsRef<Path>) -> Self {
        Self { runtime: Some(library.as_ref().to_owned()), ..self }
    }
}

impl From<ExecutionProvider> for OnnxOptions {
    fn from(provider: ExecutionProvider) -> Self {
        Self::new(provider)
    }
}
