//! What can go wrong in training, and what to do about it.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] conjoint_export::ExportError),

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
    /// An option or configuration value cannot work.
    #[error("{name} is {got}, expected {expected}")]
    Invalid {
        /// The option's or configuration key's name.
        name: &'static str,
        /// The value given.
        got: String,
        /// What would be accepted.
        expected: String,
    },
    /// A checkpoint lacks a tensor.
    #[error("{}: no tensor `{name}`; is this a checkpoint of the right architecture?", path.display())]
    MissingTensor {
        /// The checkpoint's file.
        path: PathBuf,
        /// The missing tensor's name.
        name: String,
    },
    /// A checkpoint's tensor has another shape than its configuration asks for.
    #[error("{}: tensor `{name}` has shape {got:?}, the configuration asks for {expected:?}", path.display())]
    TensorShape {
        /// The checkpoint's file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        got: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// A run's folder holds a model but no checkpoint to continue from.
    #[error(
        "{} is there already, without a checkpoint to continue from: training would overwrite it; \
         choose another folder for the run",
        path.display()
    )]
    ForeignFolder {
        /// The model's weights.
        path: PathBuf,
    },
    /// A run's folder belongs to a run with other options.
    #[error(
        "{} belongs to a run with {name} = {old}, but {new} is asked for now: \
         choose another folder for the run, or give the same value",
        path.display()
    )]
    OtherOptions {
        /// The file that holds the run's options.
        path: PathBuf,
        /// The option that differs.
        name: String,
        /// Its value in the run.
        old: String,
        /// Its value now.
        new: String,
    },
    /// The file of the frozen model's answers cannot be used.
    #[error("the frozen model's answers in {}: {source}", path.display())]
    TeacherCache {
        /// The file.
        path: PathBuf,
        /// The database's reason.
        source: Box<redb::Error>,
    },
    /// The file of the frozen model's answers holds another model's.
    #[error(
        "{} holds answers of another model, {old}, than this one, {new}: give another file, or that model",
        path.display()
    )]
    OtherAnswers {
        /// The file.
        path: PathBuf,
        /// The model that answered.
        old: String,
        /// The model asked now.
        new: String,
    },
    /// A file is there but its content is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The loss stopped being a finite number.
    #[error(
        "the loss became {loss} at step {step}; lower the learning rate and resume from the last checkpoint"
    )]
    NotFinite {
        /// The step at which it happened, from 0.
        step: u64,
        /// The loss, NaN or infinite.
        loss: f64,
    },
    /// A text or token cannot be encoded or decoded.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A training text is unusable.
    #[error("row {row}: {reason}")]
    Row {
        /// The row's index.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Trajectories could not be made, read or used.
    #[error(transparent)]
    Trajectories(#[from] conjoint_trajectory::Error),
    /// There are too few trajectories to train on.
    #[error("{got} trajectories, expected more than the {held_out} that are held out")]
    TooFewTrajectories {
        /// How many were given.
        got: usize,
        /// How many are needed for validation alone.
        held_out: usize,
    },
    /// The teacher's answer has the wrong size.
    #[error(
        "the teacher returned {got} numbers for {batch} rows, expected batch · length · width = {expected}"
    )]
    TeacherShape {
        /// How many numbers came.
        got: usize,
        /// How many rows were asked for.
        batch: usize,
        /// How many numbers should have come.
        expected: usize,
    },
    /// The frozen teacher failed.
    #[error("the teacher failed")]
    Teacher(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A plot could not be drawn.
    #[error("cannot draw {}: {reason}", path.display())]
    Plot {
        /// The picture's file.
        path: PathBuf,
        /// The plotting library's answer.
        reason: String,
    },
    /// A worker thread ended without a result.
    #[error(
        "a training worker stopped unexpectedly; the run can be resumed from its last checkpoint"
    )]
    Worker,
}

impl TrainError {
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
}
