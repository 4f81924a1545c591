//! The loop: sequences of a batch in lockstep, one forward a step for all of them, one sampler pass
//! an inner round for those that ask.

use std::sync::Arc;

use crate::condensed::Condense;
use crate::draw::{Categorical, TopRule};
use crate::filter::{Ban, Identity};
use crate::schedule::TokensPerStep;
use crate::unmasker::{ExactSequential, Parts, Stop, Strategy};
use crate::{
    Canvas, Denoiser, Draw, Error, Filter, Observer, Schedule, SeededStream, Stream, TokenId,
    Vocabulary,
};

mod layout;
mod lockstep;
mod output;
mod sequence;

pub use output::Output;

type Streams = dyn Fn(u64) -> Box<dyn Stream> + Send + Sync;

/// Generates sequences with a denoiser and a strategy.
///
/// Every role has a default: [`ExactSequential`] in entropy order, one token per step, no filter
/// but a ban on the mask id, categorical draws, seed 0, one block, batches of 16.
#[derive(Clone)]
pub struct Generator {
    model: Arc<dyn Denoiser>,
    unmasker: Box<dyn Strategy>,
    schedule: Arc<dyn Schedule>,
    ban: Vec<TokenId>,
    filter: Arc<dyn Filter>,
    draw: Arc<dyn Draw>,
    streams: Arc<Streams>,
    block_length: Option<usize>,
    open_next: Option<f64>,
    batch_size: usize,
    stop_at_eos: bool,
}

impl Generator {
    /// A generator over `model`, with the defaults above.
    pub fn new(model: impl Denoiser + 'static) -> Self {
        let ban = vec![model.vocabulary().mask()];
        Self {
            model: Arc::new(model),
            unmasker: ExactSequential::default().boxed(),
            // K = 1 is in range.
            schedule: Arc::new(TokensPerStep::new(1).expect("1 is a valid K")),
            ban,
            filter: Arc::new(Identity),
            draw: Arc::new(Categorical),
            streams: Arc::new(|sequence| Box::new(SeededStream::new(0, sequence))),
            block_length: None,
            open_next: None,
            batch_size: 16,
            stop_at_eos: false,
        }
    }

    /// How tokens are revealed in a step.
    pub fn unmasker(mut self, unmasker: impl Strategy) -> Self {
        self.unmasker = unmasker.boxed();
        self
    }

    /// How many tokens a step reveals.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Arc::new(schedule);
        self
    }

    /// What may be drawn, applied after the [ban](Self::ban).
    pub fn filter(mut self, filter: impl Filter + 'static) -> Self {
        self.filter = Arc::new(filter);
        self
    }

    /// The tokens ruled out before anything is computed from a row; the mask id unless set here.
    /// The list replaces the one before: leave the mask id out, and it is still never drawn, but
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
    /// Needs a schedule without a total number of steps. Source: the multi-block decoding of d3LLM
    /// (hao-ai-lab), which opens at 0.1.
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

    /// Ends a sequence at the leftmost end-of-sequence id that was generated.
    ///
    /// What lies behind it is closed: no rows are asked for, and the strategy is shown nothing of it, neither
    /// to reveal nor to revoke. If the strategy takes the id itself back, all is open again as it was. Once
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

    /// Fills any canvases (prompts, holes, nothing given at all), telling `observer` every event.
    /// Outputs come in the order of the canvases, and none depends on the others.
    ///
    /// # Errors
    /// [`Error::MaskMismatch`], [`Error::UnknownToken`], [`Error::TooLong`],
    /// [`Error::BlockNotDividing`] or [`Error::StepsNotDivisible`] before anything is run;
    /// [`Error::NonFinite`], [`Error::EmptyRow`], [`Error::NoProgress`], [`Error::Endless`],
    /// [`Error::IllegalMove`], [`Error::NoSamplerLayer`] or [`Error::Model`] while running.
    pub fn run(
        &self,
        canvases: Vec<Canvas>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        lockstep::run(self, self.requests(canvases), observer)
    }

    /// Refuses what [`run`](Self::run) would refuse of these canvases before it runs anything.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that come before anything is run.
    pub fn check(&self, canvases: &[Canvas]) -> Result<(), Error> {
        lockstep::begin_all(self, self.requests(canvases.to_vec())).map(drop)
    }

    fn requests(&self, canvases: Vec<Canvas>) -> Vec<Request<'_>> {
        let parts = Arc::new(self.parts());
        let request = |canvas| Request { canvas, settings: self, parts: parts.clone() };
        canvases.into_iter().map(request).collect()
    }

    /// As [`run`](Self::run), with settings of its own for every sequence: strategy, schedule, filter,
    /// bans, draw, seed, blocks and early stop come from the generator beside each canvas, a changed
    /// clone of this one. They share forwards all the same, in batches of this generator's size.
    ///
    /// # Errors
    /// [`Error::OtherModel`] if a generator was not cloned from one with the same model; else as
    /// [`run`](Self::run).
    pub fn run_each(
        &self,
        requests: Vec<(Canvas, Generator)>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Output>, Error> {
        let (canvases, settings): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let request = |(canvas, settings): (_, _)| Request {
            canvas,
            settings,
            parts: Arc::new(settings.parts()),
        };
        lockstep::run(self, canvases.into_iter().zip(&settings).map(request).collect(), observer)
    }

    fn parts(&self) -> Parts {
        let vocabulary = self.vocabulary();
        // Some models pad with their mask, which would leave the rest to do.
        let pad = vocabulary.pad().filter(|&pad| pad != vocabulary.mask());
        let stop = |eos| Stop { eos, fill: pad.unwrap_or(eos) };
        let filter = Ban::new(self.ban.iter().copied()).then(self.filter.clone());
        let condense = Condense::of(&filter, vocabulary.mask(), vocabulary.size());
        Parts {
            condense: condense.filter(|_| self.draw.top_rule() != TopRule::WholeRow),
            filter: Arc::new(filter),
            schedule: self.schedule.clone(),
            draw: self.draw.clone(),
            vocabulary_size: vocabulary.size(),
            block_length: self.block_length,
            open_next: self.open_next,
            stop: vocabulary.eos().filter(|_| self.stop_at_eos).map(stop),
        }
    }
}

/// A canvas to fill and the settings to fill it with.
struct Request<'a> {
    canvas: Canvas,
    settings: &'a Generator,
    parts: Arc<Parts>,
}
