use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conjoint::Error;
use conjoint::prelude::*;
use conjoint::unmasker::{Before, Strategy, Turn};

/// Takes the time between the calls of the model, from outside of the generator.
///
/// As an observer it learns that rows have come from the model; the [strategy](Stopwatch::around) that
/// it wraps then tells when they have been filtered and swept, and when the tokens are drawn. Nothing
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
    pub fn around(&self, strategy: Box<dyn Strategy>) -> Box<dyn Strategy> {
        Box::new(Watched { strategy, watch: self.clone() })
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
}

#[derive(Clone)]
struct Watched {
    strategy: Box<dyn Strategy>,
    watch: Stopwatch,
}

impl Unmasker for Watched {
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        self.strategy.prepare(before)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        self.watch.lap(|spent| &mut spent.sweep);
        let next = self.strategy.decide(view);
        self.watch.lap(|spent| &mut spent.draw);
        next
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        self.strategy.sampler_layer()
    }

    fn whole_rows(&self) -> bool {
        self.strategy.whole_rows()
    }
}
