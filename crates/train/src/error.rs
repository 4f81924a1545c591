//! The errors of training.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The checkpoint that a run starts from cannot be read.
    ///
    /// The source names the file in question: it is missing, malformed, or of an architecture that this version does
    /// not support.
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Checkpoint {
        /// The checkpoint's folder, or its file of weights.
        path: PathBuf,
        /// The reader's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// An option or configuration value is outside its range.
    #[error("invalid value `{got}` for `{name}`: expected {expected}")]
    Invalid {
        /// The option's or configuration key's name.
        name: &'static str,
        /// The given value.
        got: String,
        /// The accepted values.
        expected: String,
    },
    /// A checkpoint lacks a tensor.
    #[error("{}: tensor `{name}` is missing: the checkpoint is incomplete or of another architecture", path.display())]
    MissingTensor {
        /// The checkpoint's file.
        path: PathBuf,
        /// The missing tensor's name.
        name: String,
    },
    /// A tensor's shape in a checkpoint differs from the one that the configuration implies.
    #[error("{}: tensor `{name}` has shape {got:?}, expected {expected:?} from the configuration", path.display())]
    TensorShape {
        /// The checkpoint's file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape in the file.
        got: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// Another process trains in the run's folder.
    #[error("another process is training in {}: wait until it ends, or choose another folder", folder.display())]
    Running {
        /// The run's folder.
        folder: PathBuf,
    },
    /// A run's folder holds a model but no checkpoint to resume from.
    #[error(
        "{} exists, without a checkpoint to resume from: training would overwrite it; \
         choose another folder for the run",
        path.display()
    )]
    ForeignFolder {
        /// The model's weights.
        path: PathBuf,
    },
    /// A run's folder belongs to a run with other options.
    #[error(
        "{} belongs to a run with {name} = {old}, but {new} is given now: \
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
    /// The file that caches the frozen model's hidden states cannot be used.
    #[error("cannot use the cached hidden states in {}: {source}", path.display())]
    TeacherCache {
        /// The file.
        path: PathBuf,
        /// The database's reason.
        source: Box<redb::Error>,
    },
    /// The file that caches the frozen model's hidden states belongs to another model.
    #[error(
        "{} holds the hidden states of another model, {old}, not of {new}: give another file, or that model",
        path.display()
    )]
    OtherAnswers {
        /// The file.
        path: PathBuf,
        /// The model that the file belongs to.
        old: String,
        /// The model of this run.
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
    /// The loss is no longer a finite number.
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
    /// A tokenizer's mask token or end token cannot be found.
    #[error(
        "cannot tell the {role} token of {}: {reason}; name one of its tokens, or add one to the file",
        path.display()
    )]
    SpecialToken {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// "mask" or "end".
        role: &'static str,
        /// The tokens in question.
        reason: String,
    },
    /// A text of a file does not fit into a row with an end token.
    #[error(
        "{}: line {line} has {tokens} tokens, and {} with its end token: {count} texts are too long for a length of \
         {length}; use a length of at least {} for all, or skip them",
        path.display(), tokens + 1, longest + 1
    )]
    LongText {
        /// The file of texts.
        path: PathBuf,
        /// The number of the first such line, from 1.
        line: usize,
        /// The number of its tokens.
        tokens: usize,
        /// T, the length of a row.
        length: usize,
        /// The number of such texts.
        count: usize,
        /// The number of tokens of the longest one.
        longest: usize,
    },
    /// A training row is unusable.
    #[error("row {row}: {reason}")]
    Row {
        /// The row's index.
        row: u64,
        /// The defect.
        reason: String,
    },
    /// Trajectories could not be made, read or used.
    #[error(transparent)]
    Trajectories(#[from] conjoint_trajectory::Error),
    /// There are too few trajectories to train on.
    #[error(
        "{got} trajectories are too few, because {held_out} are held out: use more trajectories, or hold out fewer"
    )]
    TooFewTrajectories {
        /// How many were given.
        got: usize,
        /// How many are held out for validation.
        held_out: usize,
    },
    /// A teacher returned an array of the wrong size.
    #[error(
        "the teacher returned {got} numbers for {batch} rows, expected batch · length · width = {expected}"
    )]
    TeacherShape {
        /// The count of numbers returned.
        got: usize,
        /// The count of rows in the request.
        batch: usize,
        /// The expected count of numbers.
        expected: usize,
    },
    /// The frozen teacher failed.
    #[error("the teacher failed: {0}")]
    Teacher(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A plot could not be drawn.
    #[error("cannot draw {}: {reason}", path.display())]
    Plot {
        /// The picture's file.
        path: PathBuf,
        /// The plotting library's reason.
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

    /// For `map_err`: attaches the checkpoint at `path` to its reader's error.
    pub(crate) fn checkpoint<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Checkpoint { path, source: source.into() }
    }
}

/// Returns `Ok` if `ok`, else [`TrainError::Invalid`].
pub(crate) fn check(
    ok: bool,
    name: &'static str,
    got: impl ToString,
    expected: impl ToString,
) -> Result<(), TrainError> {
    if ok {
        Ok(())
    } else {
        Err(TrainError::Invalid { name, got: got.to_string(), expected: expected.to_string() })
    }
}
