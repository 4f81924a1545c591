//! What can go wrong with trajectories, and what to do about it.

use std::ops::Range;
use std::path::PathBuf;

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("invalid value `{got}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// What was given.
        got: String,
        /// What would be accepted.
        expected: String,
    },
    /// A prompt or a text cannot be used.
    #[error("{kind} number {number}: {reason}")]
    Given {
        /// What it is: a prompt or a text.
        kind: &'static str,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A folder or file was made with other settings.
    #[error(
        "{} was made with {name} = {old}, but {new} is asked for now: \
         choose another folder for the trajectories, or give the same value",
        path.display()
    )]
    OtherSetting {
        /// The file that holds the settings.
        path: PathBuf,
        /// The setting that differs.
        name: String,
        /// Its value in the file.
        old: String,
        /// Its value now.
        new: String,
    },
    /// A file is there but does not hold what it should.
    #[error("{}: {reason}; delete the file, and its trajectories are made again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of trajectories has a gap.
    #[error(
        "{} has no trajectories {} to {}: finish making them, every share of them, or use only those before",
        folder.display(), indices.start, indices.end - 1
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The first gap.
        indices: Range<u64>,
    },
    /// A folder without any settings.
    #[error("{} is no folder of trajectories: it holds no {}", folder.display(), crate::SETTINGS)]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// A trajectory does not fit the model or the others.
    #[error("trajectory {index}: {reason}")]
    Unfit {
        /// Its index.
        index: u64,
        /// What does not fit.
        reason: String,
    },
    /// The model failed while trajectories were made.
    #[error("trajectories {} to {}: {source}", indices.start, indices.end.saturating_sub(1))]
    Generation {
        /// The trajectories being made.
        indices: Range<u64>,
        /// What went wrong; its sequences are counted from the first of these.
        source: conjoint_core::Error,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn parameter(
        name: &'static str,
        got: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Self::Parameter { name, got: got.to_string(), expected: expected.to_string() }
    }
}
