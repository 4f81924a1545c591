//! The errors of this crate.

use std::ops::Range;
use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("invalid value `{got}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The given value.
        got: String,
        /// The accepted values.
        expected: String,
    },
    /// A prompt, a text or a text with holes cannot be used.
    #[error("{kind} number {number}: {reason}")]
    Given {
        /// The kind: a prompt, a text or a text with holes.
        kind: &'static str,
        /// The number, counted from 1.
        number: usize,
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
    /// A folder or file was made with other settings.
    #[error(
        "{} was made with {name} = {old}, but {new} is given now: \
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
    /// The content of a file is malformed.
    #[error("{}: {reason}; delete the file to make its trajectories again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// A folder of trajectories has a gap.
    #[error(
        "{} has no trajectories {} to {}: run the generation of every shard again with the same settings, \
         or use only the trajectories before",
        folder.display(), indices.start, indices.end - 1
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The first gap.
        indices: Range<u64>,
    },
    /// The folder has no settings, so it is not a folder of trajectories.
    #[error("{} is not a folder of trajectories: it has no _settings.json", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// A trajectory is invalid, or does not fit the model.
    #[error("trajectory {index}: {reason}")]
    Unfit {
        /// The index of the trajectory.
        index: u64,
        /// The violation.
        reason: String,
    },
    /// The model failed while it made trajectories.
    #[error(
        "cannot generate trajectories {} to {} (sequence 0 is the first of them): {source}",
        indices.start, indices.end.saturating_sub(1)
    )]
    Generation {
        /// The trajectories being made.
        indices: Range<u64>,
        /// The model's error. Sequence 0 is the first of these trajectories.
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
