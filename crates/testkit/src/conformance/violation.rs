use conjoint_core::{Error as CoreError, Output, TokenId};

/// A law that does not hold, and the run that shows it.
///
/// `run` names what was tested and its setting: the schedule, block length, rows and draw.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A run that should succeed failed: no progress, a move that is not allowed, a missing
    /// sampler layer, a row it could not handle.
    #[error("{run}: {source}")]
    Failed {
        /// The run.
        run: String,
        /// How it failed.
        #[source]
        source: Box<CoreError>,
    },

    /// A strategy was asked for more moves than it may need: it does not end.
    #[error(
        "{run}: still not finished after {moves} moves; if positions are masked again on purpose, \
         raise `Suite::moves_per_position`"
    )]
    StepLimitExceeded {
        /// The run.
        run: String,
        /// The moves it was allowed.
        moves: usize,
    },

    /// The mask id, a banned id or an id outside the vocabulary was revealed.
    #[error("{run}: sequence {sequence}, position {position}: token {token} must not be drawn")]
    ForbiddenToken {
        /// The run.
        run: String,
        /// Index of the sequence.
        sequence: usize,
        /// The position.
        position: usize,
        /// The token.
        token: TokenId,
    },

    /// A given position holds another token in the output.
    #[error("{run}: sequence {sequence}, position {position}: the prompt's {given} became {got:?}")]
    PromptChanged {
        /// The run.
        run: String,
        /// Index of the sequence.
        sequence: usize,
        /// The position.
        position: usize,
        /// The token given.
        given: TokenId,
        /// The token in the output; `None` if the position is missing.
        got: Option<TokenId>,
    },

    /// What the observer was told does not add up to the output.
    #[error("{run}: sequence {sequence}: the events told do not rebuild the output: {what}")]
    EventsDisagree {
        /// The run.
        run: String,
        /// Index of the sequence.
        sequence: usize,
        /// What differs.
        what: &'static str,
    },

    /// The same seed gave another output.
    #[error("{run}: sequence {sequence}, {how}: got {got:?}, expected {expected:?}")]
    OutputChanged {
        /// The run.
        run: String,
        /// Index of the sequence.
        sequence: usize,
        /// What was done differently: nothing at all, or the batch.
        how: String,
        /// The output.
        got: Box<Output>,
        /// The output of the first run.
        expected: Box<Output>,
    },

    /// A row that cannot be drawn from was not reported, or not by its sequence and position.
    #[error("{run}: expected {expected}, got {got}")]
    MissedError {
        /// The run.
        run: String,
        /// The error that names the row.
        expected: String,
        /// What came instead.
        got: String,
    },

    /// A row of a model changed with the batch it was asked in.
    #[error(
        "{run}: sequence {sequence}, position {position}, {how}: \
         the logit of token {token} is {got}, expected {expected} ± {tolerance}"
    )]
    RowChanged {
        /// The run.
        run: String,
        /// Index of the sequence among the canvases given.
        sequence: usize,
        /// The position.
        position: usize,
        /// What was done differently.
        how: String,
        /// The token.
        token: usize,
        /// Its logit.
        got: f32,
        /// Its logit in the whole batch.
        expected: f32,
        /// The difference allowed.
        tolerance: f32,
    },
}

impl Violation {
    pub(super) fn failed(run: &str, source: CoreError) -> Self {
        Self::Failed { run: run.into(), source: Box::new(source) }
    }
}
