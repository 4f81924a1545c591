//! Callbacks during generation, for a progress bar, a trace, streaming or a viewer.

use crate::{Canvas, Error, Observation, Output, TokenId};

/// A revealed token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reveal {
    /// Index of the sequence in the request.
    pub sequence: usize,
    /// Denoising step, counted from 0 over the whole generation.
    pub step: usize,
    /// 0 after the denoiser's forward, j after the j-th sampler pass of the step.
    pub round: usize,
    /// The position.
    pub position: usize,
    /// The token.
    pub token: TokenId,
    /// Its probability in the filtered row.
    pub probability: f64,
}

/// Receives the events of a run. Each method does nothing by default.
#[doc(alias = "callback")]
#[doc(alias = "hook")]
#[doc(alias = "progress bar")]
pub trait Observer {
    /// A sequence begins.
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        let _ = (sequence, canvas);
    }

    /// The model ran `calls` full forwards for one step of a sequence. There is more than one if the strategy
    /// queries rows with masked positions or branches, or if one canvas [costs
    /// several](crate::Denoiser::passes). Idle steps have none.
    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        let _ = (sequence, step, calls);
    }

    /// The sampler layer ran for a sequence: the `round`-th pass of the step, counted from 1.
    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        let _ = (sequence, step, round);
    }

    /// The rows of a sequence are computed and filtered, after a forward or a sampler pass and before any
    /// decision.
    fn on_rows(&mut self, rows: &Observation<'_>) {
        let _ = rows;
    }

    /// A token was revealed.
    fn on_reveal(&mut self, reveal: &Reveal) {
        let _ = reveal;
    }

    /// A revealed position was remasked.
    fn on_remask(&mut self, sequence: usize, step: usize, position: usize) {
        let _ = (sequence, step, position);
    }

    /// A denoising step of a sequence is over, idle ones included.
    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        let _ = (sequence, step, canvas);
    }

    /// A sequence finished, or was cancelled, perhaps before it [began](Self::on_begin).
    fn on_finish(&mut self, sequence: usize, output: &Output) {
        let _ = (sequence, output);
    }

    /// A sequence failed. The others continue, except in [`Generator::run`](crate::Generator::run).
    fn on_fail(&mut self, sequence: usize, error: &Error) {
        let _ = (sequence, error);
    }
}

/// Ignores all events.
impl Observer for () {}

/// Sends each event to both observers.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        self.0.on_begin(sequence, canvas);
        self.1.on_begin(sequence, canvas);
    }

    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        self.0.on_forward(sequence, step, calls);
        self.1.on_forward(sequence, step, calls);
    }

    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        self.0.on_sampler_pass(sequence, step, round);
        self.1.on_sampler_pass(sequence, step, round);
    }

    fn on_rows(&mut self, rows: &Observation<'_>) {
        self.0.on_rows(rows);
        self.1.on_rows(rows);
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0.on_reveal(reveal);
        self.1.on_reveal(reveal);
    }

    fn on_remask(&mut self, sequence: usize, step: usize, position: usize) {
        self.0.on_remask(sequence, step, position);
        self.1.on_remask(sequence, step, position);
    }

    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        self.0.on_step(sequence, step, canvas);
        self.1.on_step(sequence, step, canvas);
    }

    fn on_finish(&mut self, sequence: usize, output: &Output) {
        self.0.on_finish(sequence, output);
        self.1.on_finish(sequence, output);
    }

    fn on_fail(&mut self, sequence: usize, error: &Error) {
        self.0.on_fail(sequence, error);
        self.1.on_fail(sequence, error);
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        (**self).on_begin(sequence, canvas);
    }

    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        (**self).on_forward(sequence, step, calls);
    }

    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        (**self).on_sampler_pass(sequence, step, round);
    }

    fn on_rows(&mut self, rows: &Observation<'_>) {
        (**self).on_rows(rows);
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        (**self).on_reveal(reveal);
    }

    fn on_remask(&mut self, sequence: usize, step: usize, position: usize) {
        (**self).on_remask(sequence, step, position);
    }

    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        (**self).on_step(sequence, step, canvas);
    }

    fn on_finish(&mut self, sequence: usize, output: &Output) {
        (**self).on_finish(sequence, output);
    }

    fn on_fail(&mut self, sequence: usize, error: &Error) {
        (**self).on_fail(sequence, error);
    }
}

/// Sends events to the observer if there is one.
impl<O: Observer> Observer for Option<O> {
    fn on_begin(&mut self, sequence: usize, canvas: &Canvas) {
        if let Some(observer) = self {
            observer.on_begin(sequence, canvas);
        }
    }

    fn on_forward(&mut self, sequence: usize, step: usize, calls: usize) {
        if let Some(observer) = self {
            observer.on_forward(sequence, step, calls);
        }
    }

    fn on_sampler_pass(&mut self, sequence: usize, step: usize, round: usize) {
        if let Some(observer) = self {
            observer.on_sampler_pass(sequence, step, round);
        }
    }

    fn on_rows(&mut self, rows: &Observation<'_>) {
        if let Some(observer) = self {
            observer.on_rows(rows);
        }
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        if let Some(observer) = self {
            observer.on_reveal(reveal);
        }
    }

    fn on_remask(&mut self, sequence: usize, step: usize, position: usize) {
        if let Some(observer) = self {
            observer.on_remask(sequence, step, position);
        }
    }

    fn on_step(&mut self, sequence: usize, step: usize, canvas: &Canvas) {
        if let Some(observer) = self {
            observer.on_step(sequence, step, canvas);
        }
    }

    fn on_finish(&mut self, sequence: usize, output: &Output) {
        if let Some(observer) = self {
            observer.on_finish(sequence, output);
        }
    }

    fn on_fail(&mut self, sequence: usize, error: &Error) {
        if let Some(observer) = self {
            observer.on_fail(sequence, error);
        }
    }
}

/// Records the canvas after every denoising step of every sequence.
#[doc(alias = "output_history")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    canvases: Vec<Vec<Vec<TokenId>>>,
}

impl History {
    /// The tokens of one sequence after each of its steps.
    pub fn of(&self, sequence: usize) -> &[Vec<TokenId>] {
        self.canvases.get(sequence).map_or(&[], Vec::as_slice)
    }
}

impl Observer for History {
    fn on_step(&mut self, sequence: usize, _: usize, canvas: &Canvas) {
        if self.canvases.len() <= sequence {
            self.canvases.resize(sequence + 1, Vec::new());
        }
        self.canvases[sequence].push(canvas.tokens().to_vec());
    }
}
