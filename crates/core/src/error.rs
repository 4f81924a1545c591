//! What can go wrong, with what was got and what was expected.

use crate::canvas::TokenId;

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

    /// A prompt without a token.
    #[error("the prompt is empty: give at least one token, or use `Canvas::unconditional`")]
    EmptyPrompt,

    /// A canvas with nothing to generate.
    #[error("nothing to generate: {0}")]
    NothingMasked(&'static str),

    /// A token id outside the vocabulary.
    #[error(
        "sequence {sequence}: token id {token} at position {position} is outside the vocabulary \
         of {size} ids"
    )]
    UnknownToken {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The id.
        token: TokenId,
        /// Where it stands.
        position: usize,
        /// The number of ids.
        size: usize,
    },

    /// A sequence longer than the model accepts.
    #[error("sequence {sequence} has {length} positions, but the model accepts at most {max}")]
    TooLong {
        /// Index of the sequence in the request.
        sequence: usize,
        /// Its length.
        length: usize,
        /// The model's limit.
        max: usize,
    },

    /// A canvas made for another mask id than the model's.
    #[error("sequence {sequence} is masked with id {got}, but the model's mask id is {expected}")]
    MaskMismatch {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The canvas's mask id.
        got: TokenId,
        /// The model's mask id.
        expected: TokenId,
    },

    /// A request whose settings belong to another model's generator.
    #[error("sequence {sequence}: its settings come from a generator of another model")]
    ModelMismatch {
        /// Index of the sequence in the request.
        sequence: usize,
    },

    /// A strategy that needs to know how many steps there are.
    #[error(
        "{strategy} needs a schedule with a total number of steps, \
         such as Dream's, LLaDA's or the cosine schedule"
    )]
    NeedsSteps {
        /// The strategy.
        strategy: &'static str,
    },

    /// A reveal or a remask that the canvas does not allow.
    #[error("position {position}: {reason}")]
    IllegalMove {
        /// The position.
        position: usize,
        /// Why it is refused.
        reason: &'static str,
    },

    /// A row that holds NaN or +∞.
    #[error(
        "sequence {sequence}, position {position}: logit of token {token} is {value}: a weight of the model is no number, \
         or its arithmetic has overflowed"
    )]
    NonFinite {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The position whose row it is.
        position: usize,
        /// The offending token.
        token: usize,
        /// NaN or +∞.
        value: f32,
    },

    /// A row in which no token may be drawn.
    #[error(
        "sequence {sequence}, position {position}: no token is left to draw; \
         the filters ban everything the model allows here"
    )]
    EmptyRow {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The position whose row it is.
        position: usize,
    },

    /// A model answered with the wrong number of rows or columns.
    #[error(
        "the model answered {got_rows} rows of {got_columns} logits: \
         expected {rows} rows of {columns}"
    )]
    DenseShape {
        /// Rows answered.
        got_rows: usize,
        /// Columns answered.
        got_columns: usize,
        /// Rows asked for.
        rows: usize,
        /// The vocabulary's size.
        columns: usize,
    },

    /// A top-K head answered with arrays of the wrong shape.
    #[error(
        "the top-K head answered {what} as {} × {}: expected {} × {}",
        got.0, got.1, expected.0, expected.1
    )]
    TopKShape {
        /// The array.
        what: &'static str,
        /// Its shape.
        got: (usize, usize),
        /// The shape that was asked for.
        expected: (usize, usize),
    },

    /// A finite schedule whose steps do not divide over the blocks.
    #[error(
        "{steps} steps cannot be spread evenly over {blocks} blocks: \
         use a multiple of {blocks}, or another block length"
    )]
    StepsNotDivisible {
        /// The schedule's number of steps.
        steps: usize,
        /// The number of blocks.
        blocks: usize,
    },

    /// A block length that does not divide the positions to generate.
    #[error("block length {block} does not divide the {length} positions to generate")]
    BlockNotDividing {
        /// The block length.
        block: usize,
        /// From the first to the last position to generate.
        length: usize,
    },

    /// A strategy revealed nothing after a forward, or in the last step of its schedule.
    #[error("sequence {sequence}, step {step}: the strategy revealed no token")]
    NoProgress {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The denoising step.
        step: usize,
    },

    /// A strategy that masks tokens again without coming to an end.
    #[error(
        "sequence {sequence} is not finished after {steps} denoising steps: \
         the strategy masks as many tokens as it reveals"
    )]
    StepLimitExceeded {
        /// Index of the sequence in the request.
        sequence: usize,
        /// Denoising steps taken.
        steps: usize,
    },

    /// Settings of a generator that do not go together.
    #[error("{unmasker} does not go with {setting}: {reason}")]
    Combination {
        /// The unmasker.
        unmasker: &'static str,
        /// The setting that it would ignore, or cannot work with.
        setting: String,
        /// Why, and what to do.
        reason: &'static str,
    },

    /// Hidden states were asked of a model that does not give them out.
    #[error("hidden states were asked for, but the model does not give them out")]
    NoHiddenStates,

    /// A policy or a reviser selected a candidate that there is not, or one twice.
    #[error("sequence {sequence}: {by} selected candidate {candidate}: {reason}")]
    BadSelection {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The policy or reviser.
        by: &'static str,
        /// The candidate selected.
        candidate: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A run was asked about a sequence that it does not have.
    #[error("the run has no sequence {sequence}")]
    NoSuchSequence {
        /// Its index.
        sequence: usize,
    },

    /// A strategy asked to refine without a sampler layer.
    #[error("the strategy asked for a sampler pass but has no sampler layer")]
    NoSamplerLayer,

    /// A sampler layer was given the state of another kind of denoiser.
    #[error(
        "the sampler layer continues from {expected}, but the denoiser's state is another type"
    )]
    ForeignState {
        /// The type expected.
        expected: &'static str,
    },

    /// The model runtime failed.
    #[error("the model failed: {0}")]
    Model(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps the failure of a model runtime.
    pub fn model(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Model(source.into())
    }

    /// A parameter that cannot be used; `expected` is a noun phrase such as "a number from 0 to 1".
    pub fn parameter(
        name: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Parameter { name, value: value.to_string(), expected: expected.into() }
    }
}
