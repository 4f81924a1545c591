//! The errors of this crate. Each names what failed and, where there is one, the value found and the values
//! accepted.

use crate::TokenId;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Parameter {
        /// The parameter's name, as in the documentation.
        name: &'static str,
        /// The rejected value.
        value: String,
        /// The accepted values, as a noun phrase.
        expected: String,
    },

    /// The prompt has no token.
    #[error("the prompt is empty: give at least one token, or use `Canvas::unconditional`")]
    EmptyPrompt,

    /// The canvas has no masked position to generate.
    #[error("nothing to generate: {0}")]
    NothingMasked(&'static str),

    /// A token id is outside the vocabulary.
    #[error(
        "sequence {sequence}: token id {token} at position {position} is outside the vocabulary \
         of {size} ids"
    )]
    UnknownToken {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The id.
        token: TokenId,
        /// Its position.
        position: usize,
        /// The number of ids.
        size: usize,
    },

    /// A sequence is longer than the model accepts.
    #[error(
        "sequence {sequence} has {length} positions, but the model accepts at most {max}: \
         shorten the prompt or generate fewer tokens"
    )]
    TooLong {
        /// Index of the sequence in the request.
        sequence: usize,
        /// Its length.
        length: usize,
        /// The model's limit.
        max: usize,
    },

    /// The canvas's mask id is not the model's.
    #[error("sequence {sequence} is masked with id {got}, but the model's mask id is {expected}")]
    MaskMismatch {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The canvas's mask id.
        got: TokenId,
        /// The model's mask id.
        expected: TokenId,
    },

    /// The settings of a sequence come from a generator with another model.
    #[error(
        "sequence {sequence}: its settings come from a generator with another model: clone the generator that runs it"
    )]
    ModelMismatch {
        /// Index of the sequence in the request.
        sequence: usize,
    },

    /// The strategy needs a schedule with a total number of steps, and has none.
    #[error(
        "{strategy} needs a schedule with a total number of steps, \
         such as Dream's, LLaDA's or the cosine schedule"
    )]
    NeedsSteps {
        /// The strategy.
        strategy: &'static str,
    },

    /// The canvas does not allow this reveal or remask.
    #[error("position {position}: {reason}")]
    IllegalMove {
        /// The position.
        position: usize,
        /// Why it is not allowed.
        reason: &'static str,
    },

    /// A row of logits holds NaN or +∞.
    #[error(
        "sequence {sequence}, position {position}: logit of token {token} is {value}: a weight of the model is not finite, \
         or its arithmetic overflows"
    )]
    NonFinite {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The position whose row it is.
        position: usize,
        /// The token of the logit.
        token: usize,
        /// NaN or +∞.
        value: f32,
    },

    /// A row leaves no token to draw.
    #[error(
        "sequence {sequence}, position {position}: no token is left to draw, \
         because the filters rule out every token that the model allows here: \
         relax the bans or the constraint"
    )]
    EmptyRow {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The position whose row it is.
        position: usize,
    },

    /// A model returned the wrong number of rows or columns.
    #[error(
        "the model returned {got_rows} rows of {got_columns} logits: \
         expected {rows} rows of {columns}"
    )]
    DenseShape {
        /// Rows returned.
        got_rows: usize,
        /// Columns returned.
        got_columns: usize,
        /// Rows requested.
        rows: usize,
        /// The vocabulary's size.
        columns: usize,
    },

    /// A top-K head returned an array of the wrong shape.
    #[error(
        "the top-K head returned {what} as {} × {}: expected {} × {}",
        got.0, got.1, expected.0, expected.1
    )]
    TopKShape {
        /// The array.
        what: &'static str,
        /// Its shape.
        got: (usize, usize),
        /// The shape requested.
        expected: (usize, usize),
    },

    /// A top-K head returned a token id outside the vocabulary.
    #[error("the top-K head returned token id {token} in row {row}: expected an id below {size}")]
    TopKToken {
        /// Index of the row in the request.
        row: usize,
        /// The id.
        token: TokenId,
        /// The number of ids.
        size: usize,
    },

    /// The schedule has fewer steps than there are blocks.
    #[error(
        "{steps} steps are fewer than the {blocks} blocks: use at least {blocks}, or longer blocks"
    )]
    TooFewSteps {
        /// The schedule's number of steps.
        steps: usize,
        /// The number of blocks.
        blocks: usize,
    },

    /// The block length does not fit the attention blocks of the model.
    #[error(
        "block length {block} does not fit the model's attention blocks of {attention_block} positions: \
         use a divisor or a multiple of {attention_block}"
    )]
    BlockNotAligned {
        /// The generator's block length.
        block: usize,
        /// The [length of the model's blocks](crate::Denoiser::attention_block).
        attention_block: usize,
    },

    /// The strategy revealed nothing after a forward, or in the last step of its schedule.
    #[error(
        "sequence {sequence}, step {step}: the strategy revealed no token: \
         it must reveal one in every step, except while its schedule has steps left"
    )]
    NoProgress {
        /// Index of the sequence in the request.
        sequence: usize,
        /// The denoising step.
        step: usize,
    },

    /// The strategy keeps remasking or replacing tokens and does not finish.
    #[error(
        "sequence {sequence} is not finished after {steps} denoising steps. \
         The limit is 64 steps per position, beyond those of the schedule. The strategy keeps remasking or \
         replacing tokens: use a stricter threshold or fewer post-steps"
    )]
    StepLimitExceeded {
        /// Index of the sequence in the request.
        sequence: usize,
        /// Denoising steps taken.
        steps: usize,
    },

    /// Two settings of a generator cannot be combined.
    #[error("{unmasker} cannot be combined with {setting}: {reason}")]
    Combination {
        /// The unmasker.
        unmasker: &'static str,
        /// The setting that it would ignore, or that it cannot use.
        setting: String,
        /// The reason and the fix.
        reason: &'static str,
    },

    /// A strategy requested hidden states from a model that does not return them.
    #[error(
        "a strategy requested hidden states, but the model does not return them: \
         use a model that sets `Answer::hidden`, or another strategy"
    )]
    NoHiddenStates,

    /// A policy or a reviser selected a candidate that does not exist, or one candidate twice.
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

    /// The run has no sequence of this index, or it has ended.
    #[error("the run has no sequence {sequence}: it was not added, or it has ended")]
    NoSuchSequence {
        /// Its index.
        sequence: usize,
    },

    /// A strategy requested a sampler pass without a sampler layer.
    #[error(
        "the strategy requested a sampler pass but has no sampler layer: \
         return one from `Unmasker::sampler_layer`"
    )]
    NoSamplerLayer,

    /// A sampler layer received the state of another kind of denoiser.
    #[error(
        "the sampler layer continues from {expected}, but the denoiser's state is another type: \
         use the sampler layer of the model that the generator runs"
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

    /// Rejects the value of a parameter. `expected` is a noun phrase, such as "a number from 0 to 1"; the
    /// module [`range`](crate::range) has it for the usual ranges.
    pub fn parameter(
        name: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Parameter { name, value: value.to_string(), expected: expected.into() }
    }
}
