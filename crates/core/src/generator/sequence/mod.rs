use std::sync::Arc;

use crate::condensed::{Condense, Rows};
use crate::observer::Reveal;
use crate::schedule::Progress;
use crate::unmasker::{Before, Parts, Question, Shown, Sight, Strategy, Turn, View, Work};
use crate::{Canvas, Error, Next, Observer, Output, Schedule, Stream, Unmasker};

mod extent;

/// Denoising steps that a position may cost beyond the schedule's own: far more than any strategy that
/// masks tokens again needs.
const STEPS_PER_POSITION: usize = 64;

/// One sequence on its way: its canvas, its own copy of the strategy and its own randomness.
pub(super) struct Sequence {
    pub index: usize,
    pub canvas: Canvas,
    pub unmasker: Box<dyn Strategy>,
    parts: Arc<Parts>,
    stream: Box<dyn Stream>,
    progress: Progress,
    block_length: usize,
    /// The positions that the step's sampler passes look at; all that are masked where it is empty.
    pub window: Vec<usize>,
    /// Whether the strategy wants to see its block again although it is full.
    held: bool,
    steps: usize,
    most_steps: usize,
    denoiser_calls: usize,
    sampler_calls: usize,
}

impl Sequence {
    /// Checks the canvas against the settings and begins its first block.
    pub fn begin(
        index: usize,
        mut canvas: Canvas,
        unmasker: Box<dyn Strategy>,
        parts: Arc<Parts>,
        stream: Box<dyn Stream>,
    ) -> Result<Self, Error> {
        let span = canvas.free_span();
        let length = span.len();
        let block = parts.block_length.unwrap_or(length);
        if !length.is_multiple_of(block) {
            return Err(Error::BlockNotDividing { block, length });
        }
        let blocks = length / block;
        let steps = parts.schedule.steps().unwrap_or(0);
        if !steps.is_multiple_of(blocks) {
            return Err(Error::StepsNotDivisible { steps, blocks });
        }
        if steps > 0 && parts.open_next.is_some() {
            let expected = "a schedule without a total number of steps";
            return Err(Error::parameter("steps with overlapping blocks", steps, expected));
        }
        canvas.set_block(span.start..span.start + block);
        let masked = canvas.masked().count();
        let mut sequence = Self {
            index,
            canvas,
            unmasker,
            parts,
            stream,
            progress: Progress { step: 0, steps: steps / blocks, masked, block_masked: masked },
            block_length: block,
            window: Vec::new(),
            held: false,
            steps: 0,
            most_steps: steps + STEPS_PER_POSITION * length,
            denoiser_calls: 0,
            sampler_calls: 0,
        };
        sequence.open_blocks();
        Ok(sequence)
    }

    /// What must be known of its rows if they are condensed; `None` if they are wanted whole.
    pub fn condense(&self) -> Option<&Condense> {
        self.parts.condense.as_ref().filter(|_| !self.unmasker.whole_rows())
    }

    /// Takes the steps that need no forward, and returns what is asked of the next one that does.
    pub fn prepare(&mut self, observer: &mut dyn Observer) -> Result<Vec<Question>, Error> {
        loop {
            self.check_end()?;
            let (schedule, stream) = (&self.parts.schedule, self.stream.as_mut());
            let mut before = Before::new(&self.canvas, self.progress, schedule, stream);
            let turn = self.unmasker.prepare(&mut before)?;
            let Before { questions, remasks, .. } = before;
            let Turn::Idle(steps) = turn else {
                questions.iter().try_for_each(|question| question.check(&self.canvas))?;
                return Ok(questions);
            };
            if self.progress.is_last() {
                return Err(self.no_progress());
            }
            self.remask(&remasks, observer)?;
            self.find_end();
            let left = self.progress.steps - 1 - self.progress.step;
            for _ in 1..steps.min(left) {
                self.count_step(observer);
            }
            self.end_step(observer);
        }
    }

    /// Counts the forwards of a step.
    pub fn forwarded(&mut self, calls: usize, observer: &mut dyn Observer) {
        self.denoiser_calls += calls;
        observer.on_forward(self.index, self.steps, calls);
    }

    /// Counts a pass of the sampler layer.
    pub fn refined(&mut self, round: usize, observer: &mut dyn Observer) {
        self.sampler_calls += 1;
        observer.on_sampler_pass(self.index, self.steps, round);
    }

    /// Asks the strategy for a move and makes it. `rows` are this sequence's rows: the masked positions, then the
    /// answers after a forward; the positions looked at after a sampler pass.
    pub fn decide(
        &mut self,
        round: usize,
        answer: &Rows,
        rows: &[Shown],
        work: &mut Work,
        observer: &mut dyn Observer,
    ) -> Result<Next, Error> {
        let candidates = if round == 0 { self.canvas.masked().count() } else { rows.len() };
        let sight = Sight {
            sequence: self.index,
            canvas: &self.canvas,
            progress: self.progress,
            round,
            answer,
            by_top: self.condense().is_some(),
            rows,
            candidates,
        };
        let mut view = View::new(sight, &self.parts, self.stream.as_mut(), work)?;
        let next = self.unmasker.decide(&mut view)?;
        let waits = next == Next::Wait && !self.progress.is_last();
        // The sampler pass followed a reveal, so that the step has got somewhere; a full block is done with.
        let ends = next == Next::EndStep && (round > 0 || candidates == 0);
        if work.reveals.is_empty() && !waits && !ends {
            return Err(self.no_progress());
        }
        self.remask(&work.remasks, observer)?;
        for &(position, drawn) in &work.reveals {
            let (sequence, token, size) = (self.index, drawn.token, self.parts.vocabulary_size);
            if token as usize >= size {
                return Err(Error::UnknownToken { sequence, token, position, size });
            }
            self.canvas.reveal(position, drawn.token)?;
            observer.on_reveal(&Reveal {
                sequence: self.index,
                step: self.steps,
                round,
                position,
                token: drawn.token,
                probability: drawn.probability,
            });
        }
        self.find_end();
        let is_full = self.canvas.masked().next().is_none();
        self.held = is_full && next == Next::Hold;
        if !work.window.is_empty() {
            std::mem::swap(&mut self.window, &mut work.window);
        }
        let looked_at = |position: usize| self.window.contains(&position);
        let window_is_done = !self.window.is_empty() && !self.canvas.masked().any(looked_at);
        Ok(if is_full || window_is_done && next == Next::Refine { Next::EndStep } else { next })
    }

    fn remask(&mut self, positions: &[usize], observer: &mut dyn Observer) -> Result<(), Error> {
        for &position in positions {
            if !self.canvas.open().contains(&position) {
                let reason =
                    "it cannot be masked again: it is outside the current block, or behind the end";
                return Err(Error::IllegalMove { position, reason });
            }
            self.canvas.remask(position)?;
            observer.on_remask(self.index, self.steps, position);
        }
        Ok(())
    }

    fn no_progress(&self) -> Error {
        Error::NoProgress { sequence: self.index, step: self.steps }
    }

    /// Refuses to go on for ever with a strategy that masks as much as it reveals, or holds on to a block.
    fn check_end(&self) -> Result<(), Error> {
        if self.steps > self.most_steps {
            return Err(Error::Endless { sequence: self.index, steps: self.steps });
        }
        Ok(())
    }

    /// Ends a denoising step: a sequence that has reached its end is finished, and the next block begins
    /// once this one is full and not held.
    pub fn end_step(&mut self, observer: &mut dyn Observer) {
        self.finish_at_eos(observer);
        self.count_step(observer);
        self.window.clear();
        self.progress.masked = self.canvas.masked().count();
        self.open_blocks();
    }

    fn count_step(&mut self, observer: &mut dyn Observer) {
        observer.on_step(self.index, self.steps, &self.canvas);
        self.steps += 1;
        self.progress.step += 1;
    }

    pub fn is_done(&self) -> bool {
        self.canvas.is_done() && !self.held
    }

    pub fn finish(self) -> Output {
        Output {
            generated: self.canvas.free_span(),
            drawn: self.drawn(),
            tokens: self.canvas.tokens().to_vec(),
            denoiser_calls: self.denoiser_calls,
            sampler_calls: self.sampler_calls,
            steps: self.steps,
        }
    }
}
