//! A run that the caller advances step by step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Generator;
use super::config::Config;
use super::output::{FinishReason, Output};
use super::resolve::Roles;
use super::sequence::Sequence;
use crate::denoiser::Session;
use crate::{Canvas, Error, Observer};

mod cancel;
mod event;
mod step;

pub use cancel::CancelToken;
pub use event::Event;

/// Generates sequences one denoising step of the batch at a time.
///
/// [`Generator::start`] creates it. Sequences can be [added](Self::add) and [cancelled](Self::cancel) between
/// steps (continuous batching): a finished sequence makes room for the next. A failed sequence does not end
/// the others. The run ends within one step at a [deadline](Self::deadline), or when a
/// [token](Self::cancelled_by) is cancelled from another thread. It then returns what is done so far.
///
/// ```
/// # use conjoint_core::{Canvas, Denoiser, Error, Event, Generator};
/// # fn example(model: impl Denoiser + 'static, canvas: Canvas) -> Result<(), Error> {
/// let mut run = Generator::new(model).start(vec![canvas])?;
/// while !run.is_done() {
///     for event in run.step()? {
///         if let Event::Reveal(reveal) = event {
///             println!("position {} is token {}", reveal.position, reveal.token);
///         }
///     }
/// }
/// let output = run.take(0).expect("sequence 0 has ended")?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "streaming")]
#[doc(alias = "continuous batching")]
#[must_use = "a run does nothing until it is stepped or finished"]
pub struct Run {
    generator: Generator,
    session: Option<Box<dyn Session>>,
    waiting: VecDeque<Sequence>,
    active: Vec<Sequence>,
    ended: BTreeMap<usize, Result<Output, Error>>,
    /// Sequences cancelled since the last step, not yet reported.
    cancelled: Vec<(usize, Output)>,
    /// The number of sequences added so far.
    count: usize,
    memory: step::Memory,
    events: Vec<Event>,
    cancelled_by: Option<CancelToken>,
    deadline: Option<Instant>,
}

/// Checks every canvas against the generator's settings, before anything runs.
pub(super) fn sequences(
    generator: &Generator,
    canvases: Vec<Canvas>,
) -> Result<Vec<Sequence>, Error> {
    let (roles, config) = (Roles::of(generator)?, Arc::new(Config::of(generator)?));
    let begin = |(index, canvas): (usize, Canvas)| {
        begin(generator, index, canvas, roles.clone(), config.clone())
    };
    canvases.into_iter().enumerate().map(begin).collect()
}

/// As [`sequences`], with separate settings for every sequence.
pub(super) fn sequences_each(
    generator: &Generator,
    requests: Vec<(Canvas, Generator)>,
) -> Result<Vec<Sequence>, Error> {
    let begin = |(index, (canvas, settings)): (usize, (Canvas, Generator))| {
        begin_with(generator, index, canvas, &settings)
    };
    requests.into_iter().enumerate().map(begin).collect()
}

fn begin_with(
    generator: &Generator,
    index: usize,
    canvas: Canvas,
    settings: &Generator,
) -> Result<Sequence, Error> {
    if !Arc::ptr_eq(&generator.model, &settings.model) {
        return Err(Error::ModelMismatch { sequence: index });
    }
    begin(settings, index, canvas, Roles::of(settings)?, Arc::new(Config::of(settings)?))
}

fn begin(
    generator: &Generator,
    index: usize,
    canvas: Canvas,
    roles: Roles,
    config: Arc<Config>,
) -> Result<Sequence, Error> {
    let vocabulary = generator.vocabulary();
    let (got, expected) = (canvas.mask(), vocabulary.mask());
    if got != expected {
        return Err(Error::MaskMismatch { sequence: index, got, expected });
    }
    if let Some(max) = generator.model.max_length().filter(|&max| canvas.len() > max) {
        return Err(Error::TooLong { sequence: index, length: canvas.len(), max });
    }
    let size = vocabulary.size();
    if let Some((position, &token)) =
        canvas.tokens().iter().enumerate().find(|(_, token)| **token as usize >= size)
    {
        return Err(Error::UnknownToken { sequence: index, token, position, size });
    }
    let stream = (generator.streams)(index as u64);
    Sequence::begin(index, canvas, roles, config, stream)
}

impl Run {
    /// Starts the shortest sequences first. A model that pads its batch pays for the longest sequence, so lengths
    /// in it should be close.
    pub(super) fn start(
        generator: &Generator,
        mut sequences: Vec<Sequence>,
    ) -> Result<Self, Error> {
        let count = sequences.len();
        sequences.sort_by_key(|sequence| sequence.canvas.len());
        Ok(Self {
            session: Arc::clone(&generator.model).open_session()?,
            generator: generator.clone(),
            waiting: sequences.into(),
            active: Vec::new(),
            ended: BTreeMap::new(),
            cancelled: Vec::new(),
            count,
            memory: step::Memory::default(),
            events: Vec::new(),
            cancelled_by: None,
            deadline: None,
        })
    }

    /// Ends the run within one step once `token` is cancelled.
    pub fn cancelled_by(mut self, token: CancelToken) -> Self {
        self.cancelled_by = Some(token);
        self
    }

    /// Ends the run at the first step after this time.
    #[doc(alias = "timeout")]
    #[doc(alias = "max_time")]
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Adds a sequence with the run's settings and returns its index. It begins once the batch has room.
    ///
    /// # Errors
    /// Those of [`Generator::run`] that occur before anything runs.
    pub fn add(&mut self, canvas: Canvas) -> Result<usize, Error> {
        let settings = self.generator.clone();
        self.add_with(canvas, &settings)
    }

    /// Adds a sequence with separate settings; see [`Generator::run_each`].
    ///
    /// # Errors
    /// Those of [`add`](Self::add), and [`Error::ModelMismatch`].
    pub fn add_with(&mut self, canvas: Canvas, settings: &Generator) -> Result<usize, Error> {
        let index = self.count;
        self.waiting.push_back(begin_with(&self.generator, index, canvas, settings)?);
        self.count += 1;
        Ok(index)
    }

    /// Cancels a sequence. Its output so far can be [taken](Self::take) at once; the next step reports the
    /// end.
    ///
    /// # Errors
    /// [`Error::NoSuchSequence`] if the run has no sequence of this index, or it has ended.
    pub fn cancel(&mut self, sequence: usize) -> Result<(), Error> {
        let is_it = |other: &Sequence| other.index == sequence;
        let ended = match self.waiting.iter().position(is_it) {
            Some(place) => self.waiting.remove(place),
            None => self.active.iter().position(is_it).map(|place| self.active.remove(place)),
        };
        let ended = ended.ok_or(Error::NoSuchSequence { sequence })?;
        self.end(ended, Some(FinishReason::Cancelled), &mut ());
        if let Some(Ok(output)) = self.ended.get(&sequence) {
            self.cancelled.push((sequence, output.clone()));
        }
        Ok(())
    }

    /// Runs one denoising step of the batch and returns its events.
    ///
    /// Waiting sequences begin while the batch has room. Does nothing once the run [is done](Self::is_done).
    ///
    /// # Errors
    /// [`Error::Model`] or another error of the model. The step is then incomplete: drop the run, or
    /// [cancel](Self::cancel) its sequences. An error of one sequence is [its outcome](Self::take) instead.
    pub fn step(&mut self) -> Result<&[Event], Error> {
        let mut events = event::Recorder(std::mem::take(&mut self.events));
        events.0.clear();
        let stepped = self.step_observed(&mut events);
        self.events = events.0;
        stepped.map(|()| self.events.as_slice())
    }

    /// Runs a step as [`step`](Self::step) does, and reports its events to an observer.
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    pub fn step_observed(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        for (sequence, output) in std::mem::take(&mut self.cancelled) {
            observer.on_finish(sequence, &output);
        }
        if let Some(reason) = self.is_over() {
            for sequence in std::mem::take(&mut self.waiting) {
                self.end(sequence, Some(reason), observer);
            }
            for sequence in std::mem::take(&mut self.active) {
                self.end(sequence, Some(reason), observer);
            }
            return Ok(());
        }
        while self.active.len() < self.generator.batch_size {
            let Some(sequence) = self.waiting.pop_front() else { break };
            observer.on_begin(sequence.index, &sequence.canvas);
            self.active.push(sequence);
        }
        if self.active.is_empty() {
            return Ok(());
        }
        let session = &mut self.session;
        let stepped =
            step::step(&self.generator, session, &mut self.active, &mut self.memory, observer);
        for sequence in self.memory.take_failed() {
            self.end(sequence, None, observer);
        }
        // If the model failed, sequences that look done may be in the middle of the step.
        let is_whole = stepped.is_ok();
        let has_ended =
            |sequence: &Sequence| sequence.failed.is_some() || is_whole && sequence.is_done();
        while let Some(place) = self.active.iter().position(has_ended) {
            let sequence = self.active.remove(place);
            self.end(sequence, None, observer);
        }
        stepped
    }

    /// Whether every sequence has ended and been reported.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty() && self.cancelled.is_empty()
    }

    /// The current canvas of a sequence; `None` once it has ended.
    pub fn canvas(&self, sequence: usize) -> Option<&Canvas> {
        let mut sequences = self.active.iter().chain(&self.waiting);
        sequences.find(|other| other.index == sequence).map(|found| &found.canvas)
    }

    /// Takes the outcome of a sequence that has ended; `None` if it has not ended, or was taken already.
    pub fn take(&mut self, sequence: usize) -> Option<Result<Output, Error>> {
        self.ended.remove(&sequence)
    }

    /// Whether the rows of this run equal those of the model's full forward. False if the model's
    /// [session](crate::denoiser::Session::is_exact) approximates them.
    pub fn is_exact(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.is_exact())
    }

    /// Steps to the end. Returns the outcomes in the order of the sequences, without those already taken.
    ///
    /// # Errors
    /// Those of [`step`](Self::step). Earlier outcomes can still be [taken](Self::take).
    pub fn finish_all(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        while !self.is_done() {
            self.step_observed(observer)?;
        }
        Ok(std::mem::take(&mut self.ended).into_values().collect())
    }

    /// Steps to the end, or until a sequence fails. Returns the outputs in the order of the sequences.
    ///
    /// # Errors
    /// Those of [`step`](Self::step), and that of the sequence that failed. After the former, earlier
    /// outcomes can still be [taken](Self::take).
    pub fn finish_or_fail(&mut self, observer: &mut dyn Observer) -> Result<Vec<Output>, Error> {
        while !self.is_done() {
            self.step_observed(observer)?;
            if self.ended.values().any(Result::is_err) {
                break;
            }
        }
        std::mem::take(&mut self.ended).into_values().collect()
    }

    /// The reason to end the run now, if there is one.
    fn is_over(&self) -> Option<FinishReason> {
        if self.cancelled_by.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Some(FinishReason::Cancelled);
        }
        self.deadline.filter(|&at| Instant::now() >= at).map(|_| FinishReason::Deadline)
    }

    fn end(
        &mut self,
        mut sequence: Sequence,
        early: Option<FinishReason>,
        observer: &mut dyn Observer,
    ) {
        let index = sequence.index;
        if let Some(session) = &mut self.session {
            session.end(sequence.id());
        }
        let outcome = match sequence.failed.take() {
            Some(error) => {
                observer.on_fail(index, &error);
                Err(error)
            }
            None => {
                let output = sequence.output(early);
                observer.on_finish(index, &output);
                Ok(output)
            }
        };
        self.ended.insert(index, outcome);
    }
}

impl Drop for Run {
    /// Ends the remaining sequences in the session.
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            self.active.iter().for_each(|sequence| session.end(sequence.id()));
        }
    }
}
