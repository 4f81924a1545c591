//! Sequences that share forwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use conjoint::observer::Reveal;
use conjoint::prelude::*;
use conjoint::{FinishReason, Observer, Run};
use tokio::sync::mpsc::UnboundedSender;

use super::job::{Base, Change, End, Job, Step, Steps, Update};
use super::queue::Place;
use crate::metrics::Metrics;

/// A run on one base, and its sequences.
pub struct Lane {
    base: Base,
    run: Run,
    active: BTreeMap<usize, Active>,
}

/// A running sequence.
struct Active {
    number: usize,
    updates: UnboundedSender<(usize, Update)>,
    steps: Steps,
    deadline: Option<Instant>,
    _place: Place,
    /// The step that is being computed.
    step: Step,
}

impl Active {
    fn end(self, end: End, metrics: &Metrics) {
        let Self { number, updates, _place: place, .. } = self;
        // First, so that a client with its answer finds the place free and the end counted.
        drop(place);
        metrics.running.dec();
        end.count(metrics);
        // Nobody may listen any more.
        let _ = updates.send((number, Update::End(end)));
    }
}

impl Lane {
    /// A lane for this base.
    ///
    /// # Errors
    /// The model cannot open a session.
    pub fn open(base: Base) -> Result<Self, Error> {
        let run = base.start(Vec::new())?;
        Ok(Self { base, run, active: BTreeMap::new() })
    }

    /// Whether jobs of this base run here.
    pub fn is_of(&self, base: &Base) -> bool {
        Arc::ptr_eq(&self.base, base)
    }

    /// The number of running sequences.
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Begins a job with the next step.
    pub fn add(&mut self, job: Job, metrics: &Metrics) {
        let Job { generator, canvas, deadline, submitted, steps, place, number, updates, .. } = job;
        let step = Step::default();
        let active = Active { number, updates, steps, deadline, _place: place, step };
        metrics.running.inc();
        metrics.began(submitted.elapsed());
        match self.run.add_with(canvas, &generator) {
            Ok(sequence) => {
                self.active.insert(sequence, active);
            }
            Err(error) => active.end(End::Failed(error), metrics),
        }
    }

    /// Ends the sequences without a listener, and those whose deadline, or `last`, has passed.
    pub fn end_due(&mut self, last: Option<Instant>, metrics: &Metrics) {
        let now = Instant::now();
        let is_over = last.is_some_and(|last| now >= last);
        let is_late = |active: &Active| is_over || active.deadline.is_some_and(|at| now >= at);
        let due = self.active.iter().filter(|(_, a)| a.updates.is_closed() || is_late(a));
        let due: Vec<usize> = due.map(|(&sequence, _)| sequence).collect();
        for sequence in due {
            let Some(active) = self.active.remove(&sequence) else { continue };
            let late = is_late(&active) && !is_over;
            let cancelled = self.run.cancel(sequence).map(|()| self.run.take(sequence));
            let end = match cancelled {
                Ok(Some(Ok(mut output))) => {
                    if late {
                        output.finish = FinishReason::Deadline;
                    }
                    End::Output(output)
                }
                Ok(Some(Err(error))) | Err(error) => End::Failed(error),
                Ok(None) => End::ModelFailed("a cancelled sequence has no output".to_owned()),
            };
            active.end(end, metrics);
        }
    }

    /// Computes one step of all sequences.
    ///
    /// # Errors
    /// The model failed: the lane must be [given up](Self::fail).
    pub fn step(&mut self, metrics: &Metrics) -> Result<(), Error> {
        let mut watch = Watch { active: &mut self.active, metrics };
        self.run.step_observed(&mut watch)?;
        let sequences: Vec<usize> = self.active.keys().copied().collect();
        for sequence in sequences {
            let Some(outcome) = self.run.take(sequence) else { continue };
            let Some(active) = self.active.remove(&sequence) else { continue };
            let end = match outcome {
                Ok(output) => End::Output(output),
                Err(error) => End::Failed(error),
            };
            active.end(end, metrics);
        }
        Ok(())
    }

    /// Ends all sequences after an error of the model.
    pub fn fail(self, error: &Error, metrics: &Metrics) {
        for active in self.active.into_values() {
            active.end(End::ModelFailed(error.to_string()), metrics);
        }
    }
}

/// Sends the steps of the sequences to their listeners.
struct Watch<'a> {
    active: &'a mut BTreeMap<usize, Active>,
    metrics: &'a Metrics,
}

impl Observer for Watch<'_> {
    fn on_forward(&mut self, sequence: usize, _: usize, calls: usize) {
        self.metrics.forwards.inc_by(calls as u64);
        if let Some(active) = self.active.get_mut(&sequence) {
            active.step.forwards += calls;
        }
    }

    fn on_sampler_pass(&mut self, sequence: usize, _: usize, _: usize) {
        self.metrics.passes.inc();
        if let Some(active) = self.active.get_mut(&sequence) {
            active.step.passes += 1;
        }
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.metrics.reveals.inc();
        let &Reveal { sequence, position, token, probability, .. } = reveal;
        if let Some(active) =
            self.active.get_mut(&sequence).filter(|active| active.steps != Steps::None)
        {
            active.step.changes.push(Change::Reveal { position, token, probability });
        }
    }

    fn on_remask(&mut self, sequence: usize, _: usize, position: usize) {
        if let Some(active) =
            self.active.get_mut(&sequence).filter(|active| active.steps != Steps::None)
        {
            active.step.changes.push(Change::Remask(position));
        }
    }

    fn on_step(&mut self, sequence: usize, step: usize, _: &Canvas) {
        let Some(active) = self.active.get_mut(&sequence) else { return };
        let mut done = std::mem::take(&mut active.step);
        done.number = step;
        let is_reported = match active.steps {
            Steps::None => false,
            Steps::Changes => !done.changes.is_empty(),
            Steps::All => true,
        };
        if is_reported {
            let _ = active.updates.send((active.number, Update::Step(done)));
        }
    }
}
