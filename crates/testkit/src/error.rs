//! Errors of this crate.

use conjoint_core::TokenId;

/// Every failure of this crate except a [`Violation`](crate::conformance::Violation).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A joint that is too large to enumerate, or has no cells.
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

    /// A number of weights other than the number of sequences.
    #[error("{got} weights: expected {expected}, one for each sequence")]
    WeightCount {
        /// Weights given.
        got: usize,
        /// V^T.
        expected: usize,
    },

    /// A weight that is negative or not finite.
    #[error("weight {weight} at index {index}: expected a finite number, at least 0")]
    BadWeight {
        /// Index of the sequence.
        index: usize,
        /// Its weight.
        weight: f64,
    },

    /// Weights whose sum is not positive or not finite.
    #[error("the weights sum to {0}: expected a positive, finite number")]
    WeightSum(f64),

    /// A parameter outside its range.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name in the documentation.
        name: &'static str,
        /// The given value.
        value: f64,
        /// The accepted values.
        expected: &'static str,
    },

    /// A sequence whose length no joint has.
    #[error(
        "unsupported sequence length {got}: expected one of {expected:?}, the lengths of the joints"
    )]
    Length {
        /// Positions of the sequence.
        got: usize,
        /// Positions of the joints.
        expected: Vec<usize>,
    },

    /// A requested row of a sequence that is not in the batch.
    #[error("invalid row of sequence {sequence}: the batch has {batch} sequences")]
    Sequence {
        /// Index of the sequence.
        sequence: usize,
        /// Sequences in the batch.
        batch: usize,
    },

    /// A position outside the joint.
    #[error("invalid position {position}: the joint has {length} positions")]
    Position {
        /// The position.
        position: usize,
        /// Positions of the joint.
        length: usize,
    },

    /// A token that is neither a symbol of the joint nor the mask.
    #[error("invalid token {token}: expected a symbol below {mask}, or the mask {mask}")]
    Symbol {
        /// The token.
        token: TokenId,
        /// The mask id, one past the last symbol.
        mask: TokenId,
    },

    /// A further joint with other symbols than the first, or with a length that another joint has.
    #[error(
        "a further joint over {length} positions and {symbols} symbols: \
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

    /// A condition of probability 0.
    #[error("the joint gives probability 0 to the tokens {0:?}: no conditional law exists")]
    Impossible(Vec<TokenId>),

    /// More branches than the limit of the enumerator.
    #[error(
        "more than {limit} branches: use fewer positions, symbols or random choices, \
         or raise the limit with `Enumerator::max_branches`"
    )]
    TooManyBranches {
        /// The limit.
        limit: usize,
    },

    /// A sampler that made other choices when a branch was replayed.
    #[error(
        "branch {branch} cannot be replayed: \
         the sampler uses randomness or memory other than its stream"
    )]
    NotReplayable {
        /// Index of the branch.
        branch: usize,
    },

    /// A choice without a possible outcome, or from a row with NaN or +∞.
    #[error("branch {branch}: a choice has no possible outcome")]
    NothingToChoose {
        /// Index of the branch.
        branch: usize,
    },

    /// A χ² test with fewer than two cells.
    #[error(
        "{cells} cell(s) with an expected count of at least 5: expected 2 or more; \
         draw more than {samples} samples, or use a law with more outcomes"
    )]
    TooFewCells {
        /// Cells after pooling.
        cells: usize,
        /// The number of samples.
        samples: u64,
    },

    /// The sampler under test failed.
    #[error("the sampler failed: {0}")]
    Sampler(#[from] conjoint_core::Error),
}
