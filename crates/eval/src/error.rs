//! What can go wrong in an evaluation, with what was got and what was expected.

use std::path::{Path, PathBuf};

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name as the documentation has it.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        expected: String,
    },

    /// A sample without anything in it, of which nothing can be said.
    #[error("{0} is empty: nothing can be measured of it")]
    Empty(&'static str),

    /// Two arrays that do not go together.
    #[error("{what} is {got}, expected {expected}")]
    Shape {
        /// What differs.
        what: &'static str,
        /// Its size.
        got: usize,
        /// The size that would fit.
        expected: usize,
    },

    /// A feature that is NaN or infinite.
    #[error("row {row} of {what}: feature {column} is {value}, expected a finite number")]
    NonFinite {
        /// The set of features.
        what: &'static str,
        /// The sequence's index.
        row: usize,
        /// The feature's index.
        column: usize,
        /// The offending value.
        value: f32,
    },

    /// A statistic that is not a number.
    #[error("the statistic of {0} is not a number")]
    NotANumber(&'static str),

    /// A finished sequence that does not belong to the canvas it is said to have come from.
    #[error("position {position} of a sample: {reason}")]
    Sample {
        /// The position.
        position: usize,
        /// What does not fit.
        reason: &'static str,
    },

    /// A folder of points that was begun with another setting.
    #[error(
        "{} was begun with {name} = {old}, but {new} is asked for now: \
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

    /// A file is there, but its content is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },

    /// A plot that could not be drawn.
    #[error("cannot draw the plot: {0}")]
    Plot(String),

    /// A model failed while it scored a sequence.
    #[error(transparent)]
    Model(#[from] conjoint_core::Error),

    /// A featuriser, or a scorer outside this crate, failed.
    #[error("{name} failed: {source}")]
    Outside {
        /// What it is called.
        name: String,
        /// Its own reason.
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

    /// For `map_err`: attaches what was tried on which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// `value`, if it is finite and above 0.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(Error::parameter(name, value, "a finite number above 0")),
    }
}
