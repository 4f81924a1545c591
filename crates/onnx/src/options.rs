//! How a model is to be run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, ExecutionProvider};

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
    pub(crate) head: HeadChoice,
    pub(crate) ignore_memory: bool,
}

/// Which output layer a model is opened with. Both sample the same law; where a draw falls outside of the top, the
/// same seed gives other tokens by the one than by the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HeadChoice {
    /// The condensed one where hidden states are on a device and the model has one, else the dense one: on a CPU
    /// nothing is moved, and to find the top of a row costs more than to read the row.
    #[default]
    Auto,
    /// All logits of every row.
    Dense,
    /// [Top-K rows](conjoint_core::top_k_rows) for strategies that can use them, dense rows for others.
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

    /// Opens this output layer.
    pub fn head(self, head: HeadChoice) -> Self {
        Self { head, ..self }
    }

    /// Loads and runs a model even if that takes more memory than is available, by an estimate. By default both are errors, before
    /// anything is loaded or run. On a device nothing is estimated.
    pub fn ignore_memory(self, ignore: bool) -> Self {
        Self { ignore_memory: ignore, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        for head in [HeadChoice::Auto, HeadChoice::Dense, HeadChoice::TopK] {
            assert_eq!(head.to_string().to_uppercase().parse::<HeadChoice>().unwrap(), head);
        }
        let error = "top".parse::<HeadChoice>().unwrap_err();
        assert!(error.to_string().contains("\"top\""), "{error}");
    }
}
