//! What can go wrong, by the name of the parameter.

use std::path::{Path, PathBuf};

use conjoint::export::ExportError;
use conjoint::{OnnxError, TextError};

use crate::abbreviated;

/// Every failure of this crate.
///
/// Parameters go by their plain names, such as `order temperature`. A reason quotes other parameters in backticks. So a
/// program with flags can turn both into its own flags in one place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter's value cannot be used.
    #[error("invalid value '{}' for `{name}`: {reason}", abbreviated(value))]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// Why it cannot be used, and what would do.
        reason: String,
    },

    /// A parameter must be given.
    #[error("`{name}` is missing: {reason}")]
    Missing {
        /// The parameter.
        name: &'static str,
        /// Why it is needed.
        reason: String,
    },

    /// A parameter would change nothing.
    #[error("'{name} {}' would have no effect: {reason}", abbreviated(value))]
    Unused {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// Who ignores it.
        reason: String,
    },

    /// A strategy cannot be made for want of a part.
    #[error("{0}")]
    Lacking(&'static str),

    /// A text does not name a strategy, a schedule, an order or a line of a comparison.
    #[error("{0}")]
    Name(String),

    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },

    /// A file could be read, but its content is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Weights could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },

    /// A strategy, a filter or the generator failed.
    #[error(transparent)]
    Sampling(#[from] conjoint::Error),

    /// A model could not be opened or run.
    #[error(transparent)]
    Onnx(#[from] OnnxError),

    /// A tokenizer failed.
    #[error(transparent)]
    Text(#[from] TextError),

    /// An export could not be read or written.
    #[error(transparent)]
    Export(#[from] ExportError),

    /// A figure could not be taken, or a comparison's folder not be used.
    #[error(transparent)]
    Eval(#[from] conjoint_eval::Error),

    /// The corpus could not be set up.
    #[error(transparent)]
    Corpus(#[from] conjoint_corpus::Error),
}

impl Error {
    /// A value that cannot be used.
    pub fn parameter(name: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        Self::Parameter { name, value: value.to_string(), reason: reason.to_string() }
    }

    /// A parameter that must be given.
    pub fn missing(name: &'static str, reason: impl ToString) -> Self {
        Self::Missing { name, reason: reason.to_string() }
    }

    /// A parameter that would change nothing.
    pub fn unused(name: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        Self::Unused { name, value: value.to_string(), reason: reason.to_string() }
    }

    /// For `map_err`: attaches what was tried on which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Names the parameter whose value was refused.
pub(crate) fn refused<T, E: ToString>(
    name: &'static str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, Error> {
    result.map_err(|error| Error::parameter(name, value, error))
}
