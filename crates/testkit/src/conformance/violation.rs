use conjoint_core::{Error as CoreError, Output, TokenId};

/// A failed check of a conformance suite.
///
/// `run` names the strategy or model and its settings: the schedule, block length, rows and draw.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A run failed: no progress, an illegal move, a missing sampler layer, an error on a row.
    #[error("{run}: {source}")]
    Failed {
        /// The run.
        run: String,
        /// The error.
        #[source]
        source: Box<CoreError>,
    },

    /// A strategy made more moves than allowed, so it may not end.
    #[error(
        "{run}: not finished after {moves} moves; if the strategy remasks positions on purpose, \
         raise `Suite::moves_per_position`"
    )]
    StepLimitExceeded {
        /// The run.
        run: String,
        /// The moves allowed.
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
        /// The given token.
        given: TokenId,
        /// The token in the output; `None` if the position is missing.
        got: Option<TokenId>,
    },

    /// The events reported to the observer do not give the output.
    #[error("{run}: sequence {sequence}: the reported events do not give the output: {what}")]
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
        /// What differs from the first run: nothing, or the batch.
        how: String,
        /// The output.
        got: Box<Output>,
        /// The output of the first run.
        expected: Box<Output>,
    },

    /// An error was not returned, or does not name the sequence and position.
    #[error("{run}: expected {expected}, got {got}")]
    MissedError {
        /// The run.
        run: String,
        /// The expected error.
        expected: String,
        /// The result instead.
        got: String,
    },

    /// A row of a model depends on its batch.
    #[error(
        "{run}: sequence {sequence}, position {position}, {how}: \
         the logit of token {token} is {got}, expected {expected} ± {tolerance}"
    )]
    RowChanged {
        /// The run.
        run: String,
        /// Index of the sequence among the canvases.
        sequence: usize,
        /// The position.
        position: usize,
        /// What differs from the first run.
        how: String,
        /// The token.
        token: usize,
        /// Its logit.
        got: f32,
        /// Its logit in the whole batch.
        expected: f32,
        /// The allowed difference.
        tolerance: f32,
    },
}

impl Violation {
    pub(super) fn failed(run: &str, source: CoreError) -> Self {
        Self::Failed { run: run.into(), source: Box::new(source) }
    }
}
