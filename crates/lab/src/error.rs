//! Errors, by the name of the parameter.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use conjoint::export::ExportError;
use conjoint::format::FormatError;
use conjoint::{OnnxError, TextError};

use crate::abbreviated;

/// The error type of this crate.
///
/// Parameters have plain names, such as `order temperature`. A reason quotes other parameters in backticks. A program with
/// flags can turn both into its own flags in one place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter has an invalid value.
    #[error("invalid value `{}` for `{name}`: {reason}", abbreviated(value))]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// Why the value is invalid, and which values are valid.
        reason: String,
    },

    /// A required parameter is missing.
    #[error("`{name}` is missing: {reason}")]
    Missing {
        /// The parameter.
        name: &'static str,
        /// Why it is needed.
        reason: String,
    },

    /// A parameter would have no effect.
    #[error("'{name} {}' would have no effect: {reason}", abbreviated(value))]
    Unused {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// Which strategies ignore it.
        reason: String,
    },

    /// A strategy needs a part that the context does not have, such as a sampler layer.
    #[error("{0}")]
    Lacking(&'static str),

    /// A text is not the name of a strategy, a schedule, an order or a line of a comparison.
    #[error("{0}")]
    Name(String),

    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb: "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },

    /// A file has invalid content.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
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

    /// A checkpoint could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),

    /// An export could not be read.
    #[error(transparent)]
    Format(#[from] FormatError),

    /// A metric could not be computed, or a comparison's folder could not be used.
    #[error(transparent)]
    Eval(#[from] conjoint_eval::Error),

    /// The corpus could not be set up.
    #[error(transparent)]
    Corpus(#[from] conjoint_corpus::Error),
}

impl Error {
    /// An [`Error::Parameter`].
    pub fn parameter(name: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        Self::Parameter { name, value: value.to_string(), reason: reason.to_string() }
    }

    /// An [`Error::Missing`].
    pub fn missing(name: &'static str, reason: impl ToString) -> Self {
        Self::Missing { name, reason: reason.to_string() }
    }

    /// An [`Error::Unused`].
    pub fn unused(name: &'static str, value: impl ToString, reason: impl ToString) -> Self {
        Self::Unused { name, value: value.to_string(), reason: reason.to_string() }
    }

    /// For `map_err`: adds the operation and the file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Adds the name and the value of the parameter that caused an error.
pub(crate) fn for_parameter<T, E: StdError + 'static>(
    name: &'static str,
    value: impl ToString,
    result: Result<T, E>,
) -> Result<T, Error> {
    result.map_err(|error| {
        let value = value.to_string();
        let reason = reason(&error, &value);
        Error::Parameter { name, value, reason }
    })
}

/// Why `value` is invalid, in words that follow "invalid value … for …:".
///
/// A library's "invalid value `0` for `k`: expected at least 1" would repeat that beginning. It becomes "expected at least 1",
/// after "`k` is `0`" where `value` is not 0 itself. The message of any other error stays.
///
/// ```
/// use conjoint_lab::reason;
///
/// let error = conjoint::Error::parameter("k", 0, "at least 1");
/// assert_eq!(reason(&error, "0"), "expected at least 1");
/// assert_eq!(reason(&error, "per-step:0"), "`k` is `0`, expected at least 1");
/// ```
pub fn reason(error: &(dyn StdError + 'static), value: &str) -> String {
    let Some((name, got, expected)) = parameter(error) else { return error.to_string() };
    match got == value {
        true => format!("expected {expected}"),
        false => format!("`{name}` is `{}`, expected {expected}", abbreviated(got)),
    }
}

/// The name, the value and the expectation of an error about a parameter.
fn parameter<'e>(error: &'e (dyn StdError + 'static)) -> Option<(&'static str, &'e str, &'e str)> {
    use conjoint_eval::Error as EvalError;
    use conjoint_trajectory::Error as TrajectoryError;

    if let Some(conjoint::Error::Parameter { name, value, expected }) = error.downcast_ref() {
        return Some((name, value, expected));
    }
    if let Some(TrajectoryError::Parameter { name, got, expected }) = error.downcast_ref() {
        return Some((name, got, expected));
    }
    match error.downcast_ref() {
        Some(EvalError::Parameter { name, value, expected }) => {
            return Some((name, value, expected));
        }
        Some(EvalError::Model(inner)) => return parameter(inner),
        _ => {}
    }
    match error.downcast_ref() {
        Some(Error::Sampling(inner)) => parameter(inner),
        Some(Error::Eval(inner)) => parameter(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_parameter_once() {
        let core = || conjoint::Error::parameter("tau", 2, "a number from 0 to 1");
        assert_eq!(
            reason(&Error::from(core()), "klass:2"),
            "`tau` is `2`, expected a number from 0 to 1"
        );
        let named = for_parameter::<(), _>("temperature", 2, Err(core())).unwrap_err();
        assert_eq!(
            named.to_string(),
            "invalid value `2` for `temperature`: expected a number from 0 to 1"
        );
        let eval = conjoint_eval::Error::from(core());
        assert_eq!(reason(&eval, "2"), "expected a number from 0 to 1");
        let other = std::io::Error::other("disk full");
        assert_eq!(reason(&other, "out"), "disk full");
    }
}
