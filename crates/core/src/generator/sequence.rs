use crate::observer::Reveal;
use crate::schedule::Progress;
use crate::unmasker::{Parts, Strategy, View, Work};
use crate::{
    Beliefs, Canvas, Error, Next, Observer, Output, Schedule, Stream, Unmasker, Vocabulary,
};

/// Denoising steps that a position may cost beyond the schedule's own: far more than any strategy that
/// masks tokens again needs.
const STEPS_PER_POSITION: usize = 64;

/// One sequence on its way: its canvas, its own copy of the strategy and its own randomness.
pub(super) struct Sequence {
    pub index: usize,
    pub canvas: Canvas,
    pub unmasker: Box<dyn Strategy>,
    stream: Box<dyn Stream>,
    progress: Progress,
    block_length: usize,
    steps: usize,
    most_steps: usize,
    pub denoiser_calls: usize,
    pub sampler_calls: usize,
}

impl Sequence {
    /// Checks the canvas against the model and begins its first block.
    pub fn begin(
        index: usize,
        mut canvas: Canvas,
        unmasker: Box<dyn Strategy>,
        stream: Box<dyn Stream>,
        schedule: &dyn Schedule,
        block_length: Option<usize>,
    ) -> Result<Self, Error> {
        let span = canvas.free_span();
        let length = span.len();
        let block = block_length.unwrap_or(length);
        if !length.is_multiple_of(block) {
            return Err(Error::BlockNotDividing { block, length });
        }
        let blocks = length / block;
        let steps = schedule.steps().unwrap_or(0);
        if !steps.is_multiple_of(blocks) {
            return Err(Error::StepsNotDivisible { steps, blocks });
        }
        canvas.set_block(span.start..span.start + block);
        let masked = canvas.masked().count();
        Ok(Self {
            index,
            canvas,
            unmasker,
            stream,
            progress: Progress { step: 0, steps: steps / blocks, masked, block_masked: masked },
            block_length: block,
            steps: 0,
            most_steps: steps + STEPS_PER_POSITION * length,
            denoiser_calls: 0,
            sampler_calls: 0,
        })
    }

    /// Takes the steps in which the schedule plans nothing; they need no forward.
    pub fn skip_idle_steps(&mut self, schedule: &dyn Schedule, observer: &mut dyn Observer) {
        while !self.progress.is_last() && schedule.plan(&self.progress) == 0 {
            self.count_step(observer);
        }
    }

    /// Asks the strategy for a move and makes it. `first_row` is where this sequence's rows begin.
    pub fn decide(
        &mut self,
        round: usize,
        beliefs: &Beliefs,
        first_row: usize,
        parts: &Parts,
        work: &mut Work,
        observer: &mut dyn Observer,
    ) -> Result<Next, Error> {
        let mut view = View::new(
            self.index,
            &self.canvas,
            self.progress,
            round,
            beliefs,
            first_row,
            parts,
            self.stream.as_mut(),
            work,
        )?;
        let next = self.unmasker.decide(&mut view)?;
        if work.reveals.is_empty() {
            return Err(Error::NoProgress { sequence: self.index, step: self.steps });
        }
        for &(position, drawn) in &work.reveals {
            let (sequence, token, size) = (self.index, drawn.token, parts.vocabulary_size);
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
        for &position in &work.remasks {
            self.canvas.remask(position)?;
            observer.on_remask(self.index, self.steps, position);
        }
        let masked = self.canvas.masked().next().is_some();
        Ok(if masked { next } else { Next::EndStep })
    }

    /// Refuses to go on for ever with a strategy that masks as much as it reveals.
    pub fn check_end(&self) -> Result<(), Error> {
        if self.steps > self.most_steps {
            return Err(Error::Endless { sequence: self.index, steps: self.steps });
        }
        Ok(())
    }

    /// Ends a denoising step: past an end-of-sequence id the rest is filled if so wished, and the
    /// next block begins once this one is full.
    pub fn end_step(&mut self, stop: Option<&Vocabulary>, observer: &mut dyn Observer) {
        if let Some(vocabulary) = stop {
            self.fill_after_eos(vocabulary);
        }
        self.count_step(observer);
        self.progress.masked = self.canvas.masked().count();
        while self.progress.masked == 0 && self.canvas.block().end < self.canvas.free_span().end {
            let start = self.canvas.block().end;
            self.canvas.set_block(start..start + self.block_length);
            let masked = self.canvas.masked().count();
            self.progress = Progress { step: 0, masked, block_masked: masked, ..self.progress };
        }
    }

    fn count_step(&mut self, observer: &mut dyn Observer) {
        observer.on_step(self.index, self.steps, &self.canvas);
        self.steps += 1;
        self.progress.step += 1;
    }

    fn fill_after_eos(&mut self, vocabulary: &Vocabulary) {
        let Some(eos) = vocabulary.eos() else { return };
        let span = self.canvas.free_span();
        let is_end = |&p: &usize| self.canvas.tokens()[p] == eos && !self.canvas.is_given(p);
        if let Some(end) = span.clone().find(is_end) {
            let fill = vocabulary.pad().unwrap_or(eos);
            for position in end + 1..span.end {
                // Refused where the position is not masked, which is what is wanted.
                let _ = self.canvas.reveal(position, fill);
            }
        }
    }

    pub fn is_done(&self) -> bool {
        self.canvas.is_done()
    }

    pub fn finish(self) -> Output {
        Output {
            generated: self.canvas.free_span(),
            tokens: self.canvas.tokens().to_vec(),
            denoiser_calls: self.denoiser_calls,
            sampler_calls: self.sampler_calls,
            steps: self.steps,
        }
    }
}
