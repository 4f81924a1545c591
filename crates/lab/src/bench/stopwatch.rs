use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conjoint::Error;
use conjoint::Observation;
use conjoint::prelude::*;
use conjoint::strategy::Strategy;
use conjoint::unmasker::DynUnmasker;

/// Takes the time between the calls of the model, from outside of the generator.
///
/// As an observer it learns when rows have come from the model, and when they have been filtered and swept; the
/// [strategy](Stopwatch::around) that it wraps reports when the tokens are drawn. Nothing
/// is measured, and nothing costs, where it is not used.
#[derive(Debug, Clone, Default)]
pub struct Stopwatch(Arc<Mutex<Laps>>);

#[derive(Debug, Default)]
struct Laps {
    /// When rows came from the model, or when the sequence before had decided on its own.
    since: Option<Instant>,
    spent: Outside,
}

/// Time spent between the calls of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outside {
    /// Checking, filtering and sweeping rows.
    pub sweep: Duration,
    /// Ranking positions and drawing tokens.
    pub draw: Duration,
}

impl std::ops::Sub for Outside {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { sweep: self.sweep - earlier.sweep, draw: self.draw - earlier.draw }
    }
}

impl Stopwatch {
    /// A strategy that does the same, and is watched.
    pub fn around(&self, strategy: Strategy) -> Strategy {
        strategy.around(|unmasker| Watched { unmasker, watch: self.clone() })
    }

    /// What was spent since the stopwatch was made.
    pub fn read(&self) -> Outside {
        self.laps().spent
    }

    /// Adds the time since the last event to a part.
    fn lap(&self, part: impl FnOnce(&mut Outside) -> &mut Duration) {
        let mut laps = self.laps();
        let now = Instant::now();
        if let Some(since) = laps.since.replace(now) {
            *part(&mut laps.spent) += now - since;
        }
    }

    fn begin(&self) {
        self.laps().since = Some(Instant::now());
    }

    fn laps(&self) -> MutexGuard<'_, Laps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Stopwatch {
    fn on_forward(&mut self, _: usize, _: usize, _: usize) {
        self.begin();
    }

    fn on_sampler_pass(&mut self, _: usize, _: usize, _: usize) {
        self.begin();
    }

    fn on_rows(&mut self, _: &Observation<'_>) {
        self.lap(|spent| &mut spent.sweep);
    }
}

#[derive(Clone)]
struct Watched {
    unmasker: Box<dyn DynUnmasker>,
    watch: Stopwatch,
}

impl Unmasker for Watched {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.unmasker.plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.unmasker.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let next = self.unmasker.decide(view);
        self.watch.lap(|spent| &mut spent.draw);
        next
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.unmasker)
    }
}
