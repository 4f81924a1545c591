//! The decoding loop.
//!
//! The sequences of a batch advance in lockstep: one forward for all of them in each step, then one sampler
//! pass in each inner round for those that request it.

use std::sync::Arc;

use crate::draw::Categorical;
use crate::policy::DynPolicy;
use crate::reviser::DynReviser;
use crate::strategy::Strategy;
use crate::unmasker::ExactSequential;
use crate::{
    Canvas, Denoiser, Draw, Error, Filter, Observer, Order, Schedule, SeededStream, Stop, Stream,
    TokenId, Vocabulary, range,
};

mod config;
mod layout;
mod output;
mod resolve;
mod run;
mod sequence;

pub use output::{FinishReason, Output};
pub use run::{CancelToken, Event, Run};

type Streams = dyn Fn(u64) -> Box<dyn Stream> + Send + Sync;

/// Generates sequences with a denoiser and a strategy.
///
/// Every setting has a default: [`ExactSequential`] in entropy order, no reviser, a [ban](Self::ban) on the mask
/// id and on ids without a token, no filter, categorical draws, seed 0, one block, batches of 16.
///
/// An [order](Self::order) and a [schedule](Self::schedule) set which positions are revealed and how many in
/// a step. A [policy](Self::policy) replaces both. Settings that cannot be combined are an error,
/// [`Error::Combination`], before anything runs; no setting is ignored.
///
/// Calling a setting twice replaces the earlier value, except for [`filter`](Self::filter),
/// [`stop_at`](Self::stop_at) and [`stop_at_tokens`](Self::stop_at_tokens), which add to it.
#[doc(alias = "decoder")]
#[doc(alias = "decoding loop")]
#[derive(Clone)]
#[must_use = "a generator does nothing until `generate`, `run` or `start` is called"]
pub struct Generator {
    model: Arc<dyn Denoiser>,
    strategy: Strategy,
    order: Option<Arc<dyn Order>>,
    schedule: Option<Arc<dyn Schedule>>,
    policy: Option<Box<dyn DynPolicy>>,
    reviser: Option<Box<dyn DynReviser>>,
    ban: Vec<TokenId>,
    filter: Option<Arc<dyn Filter>>,
    draw: Arc<dyn Draw>,
    streams: Arc<Streams>,
    block_length: Option<usize>,
    open_next: Option<f64>,
    batch_size: usize,
    stop_at_eos: bool,
    stop_tokens: Vec<TokenId>,
    stops: Vec<Arc<dyn Stop>>,
}

impl Generator {
    /// Creates a generator over `model` with the defaults above.
    pub fn new(model: impl Denoiser + 'static) -> Self {
        let vocabulary = model.vocabulary();
        let ban = [vocabulary.mask()].into_iter().chain(vocabulary.unassigned()).collect();
        Self {
            model: Arc::new(model),
            strategy: ExactSequential::default().into(),
            order: None,
            schedule: None,
            policy: None,
            reviser: None,
            ban,
            filter: None,
            draw: Arc::new(Categorical),
            streams: Arc::new(|sequence| Box::new(SeededStream::new(0, sequence))),
            block_length: None,
            open_next: None,
            batch_size: 16,
            stop_at_eos: false,
            stop_tokens: Vec::new(),
            stops: Vec::new(),
        }
    }

    /// Sets how positions get their tokens: an [unmasker](crate::Unmasker), or a [strategy](crate::strategy)
    /// that has a policy or a reviser of its own.
    pub fn unmasker(mut self, strategy: impl Into<Strategy>) -> Self {
        self.strategy = strategy.into();
        self
    }

    /// Resets unmasker, order, schedule, policy and reviser to the defaults. Filters, draw, blocks, stops,
    /// seed and batch size stay.
    pub fn without_strategy(mut self) -> Self {
        self.strategy = ExactSequential::default().into();
        (self.order, self.schedule, self.policy, self.reviser) = (None, None, None, None);
        self
    }

    /// Sets the order in which positions are revealed. By default the unmasker's own, usually lowest entropy
    /// first.
    pub fn order(mut self, order: impl Order + 'static) -> Self {
        self.order = Some(Arc::new(order));
        self
    }

    /// Sets how many tokens a step reveals. By default one.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    /// Sets one rule for which positions to reveal and how many, in place of an order and a schedule.
    pub fn policy(mut self, policy: impl DynPolicy) -> Self {
        self.policy = Some(policy.boxed());
        self
    }

    /// Sets which revealed tokens are remasked or replaced. By default none.
    pub fn reviser(mut self, reviser: impl DynReviser) -> Self {
        self.reviser = Some(reviser.boxed());
        self
    }

    /// Adds a filter. It runs after the [ban](Self::ban) and after the filters that were added before; it
    /// does not replace them.
    pub fn filter(mut self, filter: impl Filter + 'static) -> Self {
        self.filter = Some(match self.filter {
            None => Arc::new(filter),
            Some(before) => Arc::new(before.then(filter)),
        });
        self
    }

    /// Removes all filters, such as those of a [preset](crate::presets). The [ban](Self::ban) stays.
    pub fn without_filters(mut self) -> Self {
        self.filter = None;
        self
    }

    /// Sets the tokens that are ruled out before any filter. By default the mask id and the ids
    /// [without a token](Vocabulary::unassigned).
    ///
    /// The list replaces the earlier one. Without the mask id in it, the mask counts in scores but is still
    /// never drawn.
    #[doc(alias = "suppress_tokens")]
    #[doc(alias = "bad_words_ids")]
    pub fn ban(mut self, tokens: impl IntoIterator<Item = TokenId>) -> Self {
        self.ban = tokens.into_iter().collect();
        self
    }

    /// Sets how a token is drawn from a filtered row. By default [`Categorical`].
    pub fn draw(mut self, draw: impl Draw + 'static) -> Self {
        self.draw = Arc::new(draw);
        self
    }

    /// Sets the seed. Sequence i of a request draws from stream i of the seed.
    #[doc(alias = "manual_seed")]
    #[doc(alias = "reproducibility")]
    pub fn seed(self, seed: u64) -> Self {
        self.streams(move |sequence| Box::new(SeededStream::new(seed, sequence)))
    }

    /// Sets the random stream of the i-th sequence, in place of a seed.
    pub fn streams(
        mut self,
        streams: impl Fn(u64) -> Box<dyn Stream> + Send + Sync + 'static,
    ) -> Self {
        self.streams = Arc::new(streams);
        self
    }

    /// Splits the positions to generate into blocks of this length, decoded from left to right
    /// (semi-autoregressive decoding).
    ///
    /// By default there is one block. The last block may be shorter. A total number of steps is spread over the blocks in
    /// proportion to their lengths.
    ///
    /// **Block-causal models.** For a model with [attention blocks](Denoiser::attention_block) of B positions,
    /// blocks count from position 0, as the model's do, and have B positions by default. The first block then
    /// begins with the last tokens of the prompt, unless the prompt fills whole blocks, and may be shorter too. Another length must divide B,
    /// for blocks within the model's (the sub-blocks of Fast-dLLM v2), or be a multiple of B. The model was not
    /// trained for the latter: a position then sees masked positions of earlier blocks.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    #[doc(alias = "semi-autoregressive")]
    #[doc(alias = "block diffusion")]
    #[doc(alias = "block-wise decoding")]
    pub fn block_length(mut self, length: usize) -> Result<Self, Error> {
        self.block_length = Some(range::at_least("block length", length, 1)?);
        Ok(self)
    }

    /// Opens the next block once this share of the last one is known (multi-block decoding).
    ///
    /// All open blocks are decoded together. The share counts given tokens too. With 1 a block opens when the
    /// one before it is full, as without this setting.
    ///
    /// Needs a schedule or policy without a total number of steps. Source: the multi-block decoding of d3LLM
    /// (hao-ai-lab), which opens at 0.1; see [`BlockStates`](crate::policy::BlockStates).
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ share ≤ 1.
    #[doc(alias = "multi-block decoding")]
    #[doc(alias = "d3LLM")]
    pub fn open_next_block_at(mut self, share: f64) -> Result<Self, Error> {
        self.open_next = Some(range::probability("share of a block", share)?);
        Ok(self)
    }

    /// Sets the largest number of sequences in one forward. By default 16.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn batch_size(mut self, sequences: usize) -> Result<Self, Error> {
        self.batch_size = range::at_least("batch size", sequences, 1)?;
        Ok(self)
    }

    /// Ends a sequence at the leftmost generated end-of-sequence id. A model may have several such ids.
    ///
    /// Positions after the id are closed: their rows are not requested, and the strategy can neither reveal
    /// nor revise them. If the strategy remasks the id, they reopen. Once no position before the id is
    /// masked, the sequence is finished. Every position after the id that was not given is then filled with
    /// the padding id, or with the end-of-sequence id if there is no padding id.
    ///
    /// An observer receives a remask for each token that was revealed there. The filling is in the step's
    /// canvas but is not reported as reveals, because nothing is drawn. A model without an end-of-sequence id
    /// is an error.
    ///
    /// **Law.** With a strategy that samples the joint exactly, in any order: the joint with everything after
    /// the first end-of-sequence id replaced.
    #[doc(alias = "eos")]
    #[doc(alias = "end of sequence")]
    #[doc(alias = "early stopping")]
    pub fn stop_at_eos(mut self, stop: bool) -> Self {
        self.stop_at_eos = stop;
        self
    }

    /// Adds stop tokens. A sequence ends at them as at an end-of-sequence id; see
    /// [`stop_at_eos`](Self::stop_at_eos).
    #[doc(alias = "stop token")]
    #[doc(alias = "stop_token_ids")]
    pub fn stop_at_tokens(mut self, ids: impl IntoIterator<Item = TokenId>) -> Self {
        self.stop_tokens.extend(ids);
        self
    }

    /// Adds a stop rule, such as a stop text. A sequence ends there as at an end-of-sequence id; see
    /// [`stop_at_eos`](Self::stop_at_eos).
    ///
    /// The rule is applied to each stretch of generated tokens without a gap, and the leftmost end counts.
    /// The model needs a padding or an end-of-sequence id to fill the positions after the end.
    #[doc(alias = "stop sequence")]
    #[doc(alias = "stop words")]
    pub fn stop_at(mut self, rule: impl Stop + 'static) -> Self {
        self.stops.push(Arc::new(rule));
        self
    }

    /// The model's vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    /// Continues one prompt by `gen_length` tokens.
    ///
    /// # Errors
    /// Those of [`Canvas::new`] and [`run`](Self::run).
    pub fn generate(&self, prompt: &[TokenId], gen_length: usize) -> Result<Output, Error> {
        let mut outputs = self.generate_batch(&[prompt], gen_length)?;
        outputs.pop().ok_or(Error::EmptyPrompt)
    }

    /// Continues every prompt by `gen_length` tokens. Prompts may differ in length.
    ///
    /// # Errors
    /// Those of [`Canvas::new`] and [`run`](Self::run).
    pub fn generate_batch<P: AsRef<[TokenId]>>(
        &self,
        prompts: &[P],
        gen_length: usize,
    ) -> Result<Vec<Output>, Error> {
        let mask = self.vocabulary().mask();
        let canvas = |prompt: &P| Canvas::new(prompt.as_ref(), gen_length, mask);
        let canvases: Result<Vec<_>, _> = prompts.iter().map(canvas).collect();
        self.run(canvases?, &mut ())
    }

    /// Fills the masked positions of any canvases and reports every event to `observer`.
    ///
    /// Returns the outputs in the order of the canvases. No output depends on the other canvases.
    ///
    /// The first error ends the run. [`run_all`](Self::run_all) finishes the other sequences instead, and
    /// [`start`](Self::start) gives access to each output as soon as it is finished.
    ///
    /// # Errors
    /// Before anything runs:
    /// - [`Error::Combination`], [`Error::NeedsSteps`], [`Error::TooFewSteps`] or
    ///   [`Error::BlockNotAligned`] if settings do not go together;
    /// - [`Error::Parameter`] if a stop rule needs an end-of-sequence or padding id that the model lacks, or if
    ///   [overlapping blocks](Self::open_next_block_at) are combined with a total number of steps;
    /// - [`Error::MaskMismatch`], [`Error::UnknownToken`] or [`Error::TooLong`] if a canvas does not fit the
    ///   model.
    ///
    /// While running:
    /// - [`Error::NoProgress`], [`Error::StepLimitExceeded`], [`Error::IllegalMove`], [`Error::BadSelection`],
    ///   [`Error::EmptyRow`], [`Error::NoSamplerLayer`] or [`Error::NoHiddenStates`] if the strategy fails;
    /// - [`Error::NonFinite`], [`Error::DenseShape`], [`Error::TopKShape`], [`Error::TopKToken`],
    ///   [`Error::ForeignState`] or [`Error::Model`] if the model or the sampler layer fails.
    ///
    /// A strategy, filter or model of your own can return further errors.
    pub fn run(
        &self,
        canvases: Vec<Canvas>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        let mut run = self.start(canvases)?;
        run.finish_or_fail(observer)
    }

    /// Runs as [`run`](Self::run) does, but a failed sequence does not end the others. Its error takes the
    /// place of its output.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that occur before anything runs, and [`Error::Model`] if the model itself
    /// fails.
    pub fn run_all(
        &self,
        canvases: Vec<Canvas>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        let mut run = self.start(canvases)?;
        run.finish_all(observer)
    }

    /// Runs as [`run`](Self::run) does, with separate settings for every sequence.
    ///
    /// Strategy, schedule, filters, bans, draw, seed, blocks and stops come from the generator beside each
    /// canvas, which must be a clone of this one with other settings. The sequences share forwards, in
    /// batches of this generator's size.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] if a generator is not a clone of one with the same model, and those of
    /// [`run`](Self::run).
    pub fn run_each(
        &self,
        requests: Vec<(Canvas, Generator)>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        let mut run = self.start_each(requests)?;
        run.finish_or_fail(observer)
    }

    /// Starts a run that the caller advances step by step. The list may be empty: sequences can be
    /// [added](Run::add) at any time.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that occur before anything runs, and those of [`Denoiser::open_session`].
    pub fn start(&self, canvases: Vec<Canvas>) -> Result<Run, Error> {
        Run::start(self, run::sequences(self, canvases)?)
    }

    /// Starts a run with separate settings for every sequence; see [`run_each`](Self::run_each).
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and [`Error::ModelMismatch`].
    pub fn start_each(&self, requests: Vec<(Canvas, Generator)>) -> Result<Run, Error> {
        Run::start(self, run::sequences_each(self, requests)?)
    }

    /// Checks the settings and these canvases as [`run`](Self::run) does before anything runs. Without
    /// canvases it checks the settings only.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that occur before anything runs.
    pub fn check(&self, canvases: &[Canvas]) -> Result<(), Error> {
        run::sequences(self, canvases.to_vec()).map(drop)
    }
}
