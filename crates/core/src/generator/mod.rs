//! The loop: sequences of a batch in lockstep, one forward a step for all of them, one sampler pass
//! an inner round for those that ask.

use std::sync::Arc;

use crate::draw::Categorical;
use crate::policy::DynPolicy;
use crate::reviser::DynReviser;
use crate::strategy::Strategy;
use crate::unmasker::ExactSequential;
use crate::{
    Canvas, Denoiser, Draw, Error, Filter, Observer, Order, Schedule, SeededStream, Stop, Stream,
    TokenId, Vocabulary,
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
/// Every role has a default: [`ExactSequential`] in entropy order, no reviser, no filter
/// but a ban on the mask id, categorical draws, seed 0, one block, batches of 16.
///
/// Where and how many is set by an [order](Self::order) and a [schedule](Self::schedule), or by a
/// [policy](Self::policy) in place of both. Settings that do not go together are an error,
/// [`Error::Combination`], before anything is run: no setting is ignored.
#[derive(Clone)]
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
    /// A generator over `model`, with the defaults above.
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

    /// How positions get their tokens: an [unmasker](crate::Unmasker), or a [strategy](crate::strategy) that brings a
    /// policy and a reviser of its own.
    pub fn unmasker(mut self, strategy: impl Into<Strategy>) -> Self {
        self.strategy = strategy.into();
        self
    }

    /// Drops unmasker, order, schedule, policy and reviser: what is left is how rows are filtered and drawn from, blocks,
    /// seeds and batches.
    pub fn without_strategy(mut self) -> Self {
        self.strategy = ExactSequential::default().into();
        (self.order, self.schedule, self.policy, self.reviser) = (None, None, None, None);
        self
    }

    /// Where to reveal first: by default the unmasker's own order, mostly the lowest entropy first.
    pub fn order(mut self, order: impl Order + 'static) -> Self {
        self.order = Some(Arc::new(order));
        self
    }

    /// How many tokens a step reveals: by default one.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    /// Where to reveal and how many, by one rule in place of an order and a schedule.
    pub fn policy(mut self, policy: impl DynPolicy) -> Self {
        self.policy = Some(policy.boxed());
        self
    }

    /// What is taken back: by default nothing.
    pub fn reviser(mut self, reviser: impl DynReviser) -> Self {
        self.reviser = Some(reviser.boxed());
        self
    }

    /// What may be drawn, applied after the [ban](Self::ban) and after the filters set before.
    pub fn filter(mut self, filter: impl Filter + 'static) -> Self {
        self.filter = Some(match self.filter {
            None => Arc::new(filter),
            Some(before) => Arc::new(before.then(filter)),
        });
        self
    }

    /// Drops the filters set before, such as those of a [preset](crate::presets).
    pub fn without_filters(mut self) -> Self {
        self.filter = None;
        self
    }

    /// The tokens ruled out before anything is computed from a row; unless set here, the mask id and the ids that
    /// [have no token](Vocabulary::unassigned). The list replaces the one before: leave the mask id out, and it is still never drawn, but
    /// counts in the scores.
    pub fn ban(mut self, tokens: impl IntoIterator<Item = TokenId>) -> Self {
        self.ban = tokens.into_iter().collect();
        self
    }

    /// How a token is drawn from a filtered row.
    pub fn draw(mut self, draw: impl Draw + 'static) -> Self {
        self.draw = Arc::new(draw);
        self
    }

    /// The seed; sequence i of a request draws from stream i of it.
    pub fn seed(self, seed: u64) -> Self {
        self.streams(move |sequence| Box::new(SeededStream::new(seed, sequence)))
    }

    /// Where the randomness of the i-th sequence comes from, instead of a seed.
    pub fn streams(
        mut self,
        streams: impl Fn(u64) -> Box<dyn Stream> + Send + Sync + 'static,
    ) -> Self {
        self.streams = Arc::new(streams);
        self
    }

    /// Works through the positions to generate in blocks of this length, from left to right.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn block_length(mut self, length: usize) -> Result<Self, Error> {
        if length == 0 {
            return Err(Error::parameter("block length", length, "at least 1"));
        }
        self.block_length = Some(length);
        Ok(self)
    }

    /// Opens the next block as soon as this share of the last one is known, not only once it is full; all
    /// open blocks are worked on together. The share counts given tokens too. 1 opens a block when the one
    /// before it is full.
    ///
    /// Needs a schedule or policy without a total number of steps. Source: the multi-block decoding of d3LLM
    /// (hao-ai-lab), which opens at 0.1; see [`BlockStates`](crate::policy::BlockStates).
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ share ≤ 1.
    pub fn open_next_block_at(mut self, share: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::parameter("share of a block", share, "a number from 0 to 1"));
        }
        self.open_next = Some(share);
        Ok(self)
    }

    /// The largest number of sequences in one forward.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn batch_size(mut self, sequences: usize) -> Result<Self, Error> {
        if sequences == 0 {
            return Err(Error::parameter("batch size", sequences, "at least 1"));
        }
        self.batch_size = sequences;
        Ok(self)
    }

    /// Ends a sequence at the leftmost end-of-sequence id that was generated, whichever of the model's it is.
    ///
    /// What lies behind it is closed: no rows are asked for, and the strategy is shown nothing of it, neither
    /// to reveal nor to revoke. A model without an end-of-sequence id is an error. If the strategy takes the id itself back, all is open again as it was. Once
    /// nothing before the id is masked the sequence is finished, whatever the strategy would still do, and
    /// every position behind it that was not given is filled with the padding id, or the end-of-sequence
    /// id where there is none. An observer is told that tokens revealed there are masked again; it sees the
    /// filling in the step's canvas, not as reveals, since nothing was drawn.
    ///
    /// **Law.** Of a strategy that samples the joint exactly, in whatever order: the joint with all that
    /// follows the first end-of-sequence id replaced.
    pub fn stop_at_eos(mut self, stop: bool) -> Self {
        self.stop_at_eos = stop;
        self
    }

    /// Ends a sequence at these tokens too, as at an end-of-sequence id; see [`stop_at_eos`](Self::stop_at_eos).
    pub fn stop_at_tokens(mut self, ids: impl IntoIterator<Item = TokenId>) -> Self {
        self.stop_tokens.extend(ids);
        self
    }

    /// Ends a sequence where a rule says so, such as at a text, as [`stop_at_eos`](Self::stop_at_eos) does at an id. Each
    /// stretch of generated tokens without a gap is looked at by itself, and of all the ends the leftmost counts. A model
    /// needs a padding or an end-of-sequence id to fill what follows.
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

    /// Fills any canvases (prompts, holes, nothing given at all), reporting every event to `observer`.
    /// Outputs come in the order of the canvases, and none depends on the others.
    ///
    /// The first error ends the run. [`run_all`](Self::run_all) finishes the other sequences instead, and
    /// [`start`](Self::start) gives out outputs as they come.
    ///
    /// # Errors
    /// [`Error::Combination`], [`Error::NeedsSteps`], [`Error::MaskMismatch`], [`Error::UnknownToken`],
    /// [`Error::TooLong`], [`Error::BlockNotDividing`] or [`Error::StepsNotDivisible`] before anything is run;
    /// [`Error::NonFinite`], [`Error::EmptyRow`], [`Error::NoProgress`], [`Error::StepLimitExceeded`],
    /// [`Error::IllegalMove`], [`Error::NoSamplerLayer`] or [`Error::Model`] while running.
    pub fn run(
        &self,
        canvases: Vec<Canvas>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        let mut run = self.start(canvases)?;
        run.finish_or_fail(observer)
    }

    /// As [`run`](Self::run), but a sequence that fails ends alone: its error stands in its place.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that come before anything is run, and [`Error::Model`] if the model itself fails.
    pub fn run_all(
        &self,
        canvases: Vec<Canvas>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        let mut run = self.start(canvases)?;
        run.finish_all(observer)
    }

    /// As [`run`](Self::run), with settings of its own for every sequence: strategy, schedule, filter,
    /// bans, draw, seed, blocks and early stop come from the generator beside each canvas, a changed
    /// clone of this one. They share forwards all the same, in batches of this generator's size.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] if a generator was not cloned from one with the same model; else as
    /// [`run`](Self::run).
    pub fn run_each(
        &self,
        requests: Vec<(Canvas, Generator)>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        let mut run = self.start_each(requests)?;
        run.finish_or_fail(observer)
    }

    /// Starts a run over these canvases that is taken step by step. There may be none yet: sequences can be
    /// [added](Run::add) at any time.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that come before anything is run, and those of
    /// [`Denoiser::open_session`].
    pub fn start(&self, canvases: Vec<Canvas>) -> Result<Run, Error> {
        Run::start(self, run::sequences(self, canvases)?)
    }

    /// As [`start`](Self::start), with settings of its own for every sequence; see [`run_each`](Self::run_each).
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and [`Error::ModelMismatch`].
    pub fn start_each(&self, requests: Vec<(Canvas, Generator)>) -> Result<Run, Error> {
        Run::start(self, run::sequences_each(self, requests)?)
    }

    /// Rejects what [`run`](Self::run) would reject of these canvases before it runs anything. Without canvases, rejects
    /// settings that do not go together.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that come before anything is run.
    pub fn check(&self, canvases: &[Canvas]) -> Result<(), Error> {
        run::sequences(self, canvases.to_vec()).map(drop)
    }
}
