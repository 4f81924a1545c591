//! The errors of this crate.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name in the documentation.
        name: &'static str,
        /// The given value.
        value: String,
        /// The accepted values.
        expected: String,
    },

    /// A sample is empty.
    #[error("{0} is empty: there is nothing to measure")]
    Empty(&'static str),

    /// Two arrays have incompatible shapes.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// The quantity that differs.
        what: &'static str,
        /// Its value.
        got: usize,
        /// The expected value.
        expected: usize,
    },

    /// A feature is NaN or infinite.
    #[error("row {row} of {what}: feature {column} is {value}, expected a finite number")]
    NonFinite {
        /// The set of features.
        what: &'static str,
        /// The sequence's index.
        row: usize,
        /// The feature's index.
        column: usize,
        /// The value of the feature.
        value: f32,
    },

    /// A statistic is NaN.
    #[error("the statistic of {0} is not a number")]
    NotANumber(&'static str),

    /// A finished sequence does not fit its canvas.
    #[error("position {position} of a sample: {reason}")]
    Sample {
        /// The position.
        position: usize,
        /// The mismatch.
        reason: &'static str,
    },

    /// A folder of points has other settings.
    #[error(
        "{} was created with {name} = {old}, but {new} is given now: \
         choose another folder, or give the same value",
        path.display()
    )]
    OtherSetting {
        /// The file that holds the settings.
        path: PathBuf,
        /// The setting that differs.
        name: String,
        /// Its value in the folder.
        old: String,
        /// Its value now.
        new: String,
    },

    /// The content of a file is malformed.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },

    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb: "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A plot could not be drawn.
    #[error("cannot draw the plot: {0}")]
    Plot(String),

    /// A model failed while it scored a sequence.
    #[error(transparent)]
    Model(#[from] conjoint_core::Error),

    /// A featuriser, or a scorer outside this crate, failed.
    #[error("{name} failed: {source}")]
    Outside {
        /// Its name.
        name: String,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn parameter(
        name: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Parameter { name, value: value.to_string(), expected: expected.into() }
    }

    /// For `map_err`: attaches the operation and the file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Checks that `value` is finite and above 0.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(Error::parameter(name, value, "a finite number above 0")),
    }
}
