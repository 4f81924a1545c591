//! Options of opening and running a model.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::provider::ExecutionProvider;

/// Options of opening and running a model.
///
/// An [`ExecutionProvider`] converts into options:
///
/// ```
/// use conjoint_onnx::{ExecutionProvider, OnnxOptions};
/// let default: OnnxOptions = ExecutionProvider::Cpu.into();
/// assert_eq!(default, OnnxOptions::default());
/// let one_thread = OnnxOptions::new(ExecutionProvider::Cpu).threads(1);
/// # assert_ne!(default, one_thread);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    pub(crate) provider: ExecutionProvider,
    pub(crate) threads: usize,
    pub(crate) runtime: Option<PathBuf>,
    pub(crate) head: HeadChoice,
    pub(crate) ignore_memory: bool,
}

/// The output layer with which a model is opened.
///
/// Both sample the same distribution. If a draw falls outside of the top tokens, they return different tokens
/// for the same seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias("lm_head", "output layer"))]
pub enum HeadChoice {
    /// The top-K head if the model has one and runs on a device, otherwise the dense head. A top-K head saves
    /// copying rows from the device. On a CPU there is no such copy, and reading a whole row is faster than
    /// searching for its top tokens.
    #[default]
    Auto,
    /// All logits of every row.
    Dense,
    /// [Top-K rows](conjoint_core::top_k_rows) for requests that accept them, and dense rows for others.
    TopK,
}

impl fmt::Display for HeadChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Dense => "dense",
            Self::TopK => "condensed",
        })
    }
}

impl FromStr for HeadChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::Auto, Self::Dense, Self::TopK]
            .into_iter()
            .find(|head| head.to_string().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| Error::UnknownHead(name.into()))
    }
}

impl OnnxOptions {
    /// Runs on this execution provider, on all cores that the process may use.
    #[must_use]
    pub fn new(provider: ExecutionProvider) -> Self {
        Self { provider, ..Self::default() }
    }

    /// Runs each graph on `count` threads, the caller's among them. 0, the default, stands for the number of cores
    /// that the process may use: within its affinity, its cpuset and the quota of its control group, rounded down.
    ///
    /// Threads without work sleep after a few microseconds, so that they do not take time from other processes, and a
    /// busy core delays a step less. Two defaults of ONNX Runtime are kept, because measurements showed that they
    /// pay off:
    /// - On loading, weights are packed for matrix products. This needs a copy of them in memory.
    /// - Outputs are allocated in an arena.
    #[doc(alias("cgroup", "affinity"))]
    #[must_use]
    pub fn threads(self, count: usize) -> Self {
        Self { threads: count, ..self }
    }

    /// Selects the output layer.
    #[must_use]
    pub fn head(self, head: HeadChoice) -> Self {
        Self { head, ..self }
    }

    /// Loads and runs a model even if it needs more memory than is available, by an estimate. By default, both
    /// are errors before anything is loaded or run. Memory of devices is not estimated.
    #[must_use]
    pub fn ignore_memory(self, ignore: bool) -> Self {
        Self { ignore_memory: ignore, ..self }
    }

    /// Loads ONNX Runtime from this library instead of [searching for it](crate::runtime).
    #[must_use]
    pub fn runtime(self, library: impl AsRef<Path>) -> Self {
        Self { runtime: Some(library.as_ref().to_owned()), ..self }
    }
}

impl From<ExecutionProvider> for OnnxOptions {
    fn from(provider: ExecutionProvider) -> Self {
        Self::new(provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_names_are_parsed() {
        for head in [HeadChoice::Auto, HeadChoice::Dense, HeadChoice::TopK] {
            assert_eq!(head.to_string().to_uppercase().parse::<HeadChoice>().unwrap(), head);
        }
        let error = "top".parse::<HeadChoice>().unwrap_err();
        assert!(error.to_string().contains("\"top\""), "{error}");
    }
}
