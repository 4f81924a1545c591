//! What can go wrong in a test's set-up, with what was got and what was expected.

use conjoint_core::TokenId;

/// Every failure of this crate but a [`Violation`](crate::conformance::Violation).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A joint that is too large to enumerate, or has no cell.
    #[error(
        "{symbols}^{length} cells: expected at least 1 position, 1 symbol and at most {max} cells"
    )]
    TableSize {
        /// Positions T.
        length: usize,
        /// Symbols V.
        symbols: usize,
        /// The largest table.
        max: usize,
    },

    /// A joint given too many or too few weights.
    #[error("{got} weights: expected {expected}, one for each sequence")]
    WeightCount {
        /// Weights given.
        got: usize,
        /// V^T.
        expected: usize,
    },

    /// A weight that is negative or not finite, or a sum of weights that is.
    #[error("weight {weight} at index {index}: expected a finite number, at least 0")]
    BadWeight {
        /// Index of the sequence.
        index: usize,
        /// Its weight.
        weight: f64,
    },

    /// Weights that sum to nothing.
    #[error("the weights sum to {0}: expected a positive, finite number")]
    WeightSum(f64),

    /// A parameter outside its range.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name as the documentation has it.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },

    /// A sequence that no joint at hand is over.
    #[error("a sequence of {got} positions: the oracle has joints over {expected:?} positions")]
    Length {
        /// Positions of the sequence.
        got: usize,
        /// Positions of the joints.
        expected: Vec<usize>,
    },

    /// A row asked of a sequence that is not in the batch.
    #[error("a row of sequence {sequence} was asked for in a batch of {batch}")]
    Sequence {
        /// Index of the sequence.
        sequence: usize,
        /// Sequences in the batch.
        batch: usize,
    },

    /// A position outside the joint.
    #[error("position {position}: the joint is over {length} positions")]
    Position {
        /// The position.
        position: usize,
        /// Positions of the joint.
        length: usize,
    },

    /// A token that the joint does not know.
    #[error("token {token}: the joint is over symbols 0 to {mask}, {mask} being the mask")]
    Symbol {
        /// The token.
        token: TokenId,
        /// The mask id, one past the last symbol.
        mask: TokenId,
    },

    /// Joints over different symbols, or two of one length, in one oracle.
    #[error(
        "a second joint over {length} positions and {symbols} symbols: \
         expected another length and {expected} symbols"
    )]
    JointMismatch {
        /// Its positions.
        length: usize,
        /// Its symbols.
        symbols: usize,
        /// The symbols of the first.
        expected: usize,
    },

    /// A condition that the joint rules out.
    #[error("the joint gives probability 0 to the tokens {0:?}: there is no law given them")]
    Impossible(Vec<TokenId>),

    /// More branches than the enumerator may walk.
    #[error(
        "more than {limit} branches: use fewer positions, symbols or random choices, \
         or raise the limit with `Enumerator::max_branches`"
    )]
    TooManyBranches {
        /// The limit.
        limit: usize,
    },

    /// A sampler that made other choices when its choices were replayed.
    #[error(
        "branch {branch} did not repeat its own choices: \
         the sampler uses randomness or memory besides its stream"
    )]
    NotReplayable {
        /// Index of the branch.
        branch: usize,
    },

    /// A stream asked to choose among nothing, or by a row with NaN or +∞.
    #[error("branch {branch}: the stream was asked to choose among nothing")]
    NothingToChoose {
        /// Index of the branch.
        branch: usize,
    },

    /// A χ² test without two cells to compare.
    #[error(
        "{cells} cell(s) expect at least 5 samples each: \
         draw more than {samples} samples, or compare a law with more outcomes"
    )]
    TooFewCells {
        /// Cells after pooling.
        cells: usize,
        /// Samples given.
        samples: u64,
    },

    /// The sampler under test failed.
    #[error("the sampler failed: {0}")]
    Sampler(#[from] conjoint_core::Error),
}
