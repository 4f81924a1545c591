//! Records the steps of a sequence.

use std::collections::VecDeque;

use conjoint::RowStats;
use conjoint::observer::Reveal;
use conjoint::prelude::*;

/// A denoising step.
#[derive(Default)]
pub struct RawStep {
    pub number: usize,
    pub canvas: Vec<TokenId>,
    pub reveals: Vec<Reveal>,
    pub remasked: Vec<usize>,
    pub rows: Vec<RawRows>,
    pub denoiser_calls: usize,
    pub sampler_calls: usize,
}

/// The rows of a call.
pub struct RawRows {
    pub round: usize,
    pub positions: Vec<usize>,
    /// [n, V], row by row.
    pub log_probs: Vec<f32>,
    /// V.
    pub vocabulary: usize,
}

/// An observer of a run of one sequence. It keeps the steps until they are taken.
pub struct Watch {
    vocabulary: usize,
    /// Whether rows are copied.
    with_rows: bool,
    /// The step that is being computed.
    current: RawStep,
    pub done: VecDeque<RawStep>,
    /// The first error of fetching rows.
    pub failed: Option<Error>,
}

impl Watch {
    pub fn new(vocabulary: usize, with_rows: bool) -> Self {
        let (current, done, failed) = (RawStep::default(), VecDeque::new(), None);
        Self { vocabulary, with_rows, current, done, failed }
    }
}

impl Observer for Watch {
    fn on_forward(&mut self, _: usize, _: usize, calls: usize) {
        self.current.denoiser_calls += calls;
    }

    fn on_sampler_pass(&mut self, _: usize, _: usize, _: usize) {
        self.current.sampler_calls += 1;
    }

    fn on_rows(&mut self, observation: &Observation<'_>) {
        if !self.with_rows {
            return;
        }
        match rows(observation, self.vocabulary) {
            Ok(rows) => self.current.rows.push(rows),
            Err(error) => self.failed = self.failed.take().or(Some(error)),
        }
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.current.reveals.push(*reveal);
    }

    fn on_remask(&mut self, _: usize, _: usize, position: usize) {
        self.current.remasked.push(position);
    }

    fn on_step(&mut self, _: usize, step: usize, canvas: &Canvas) {
        let mut done = std::mem::take(&mut self.current);
        done.number = step;
        done.canvas = canvas.tokens().to_vec();
        self.done.push_back(done);
    }
}

/// The rows of the masked positions, before filters and without the mask.
fn rows(observation: &Observation<'_>, vocabulary: usize) -> Result<RawRows, Error> {
    let mask = observation.canvas().mask() as usize;
    let mut log_probs = Vec::with_capacity(observation.rows().len() * vocabulary);
    for row in observation.rows() {
        let start = log_probs.len();
        log_probs.extend_from_slice(observation.logits(row)?);
        let row = &mut log_probs[start..];
        if let Some(mask) = row.get_mut(mask) {
            *mask = f32::NEG_INFINITY;
        }
        // Without statistics no token is possible, and all are -inf already.
        if let Some(stats) = RowStats::of(row) {
            row.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - stats.log_z) as f32);
        }
    }
    let positions = observation.candidates().iter().map(|candidate| candidate.position).collect();
    Ok(RawRows { round: observation.round(), positions, log_probs, vocabulary })
}
