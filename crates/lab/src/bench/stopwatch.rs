use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conjoint::Error;
use conjoint::Observation;
use conjoint::prelude::*;
use conjoint::strategy::Strategy;
use conjoint::unmasker::DynUnmasker;

/// Measures the time between the calls of the model.
///
/// As an observer it is notified when rows arrive from the model, and when they are filtered. The
/// [strategy](Stopwatch::around) that it wraps notifies it when the tokens are drawn.
#[derive(Debug, Clone, Default)]
pub struct Stopwatch(Arc<Mutex<Timings>>);

#[derive(Debug, Default)]
struct Timings {
    /// When the current part began: rows arrived, or the sequence before finished a part.
    since: Option<Instant>,
    total: HostTime,
}

/// The time between the calls of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostTime {
    /// Checking and filtering rows, and computing their statistics.
    pub row_kernels: Duration,
    /// Ranking positions and drawing tokens.
    pub draw: Duration,
}

impl std::ops::Sub for HostTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let row_kernels = self.row_kernels - earlier.row_kernels;
        Self { row_kernels, draw: self.draw - earlier.draw }
    }
}

impl Stopwatch {
    /// Wraps a strategy, so that its draws are measured.
    pub fn around(&self, strategy: Strategy) -> Strategy {
        strategy.map_unmasker(|unmasker| Watched { unmasker, watch: self.clone() })
    }

    /// The time since the stopwatch was made.
    pub fn read(&self) -> HostTime {
        self.timings().total
    }

    /// Adds the time since the last event to a part.
    fn add_to(&self, part: impl FnOnce(&mut HostTime) -> &mut Duration) {
        let mut timings = self.timings();
        let now = Instant::now();
        if let Some(since) = timings.since.replace(now) {
            *part(&mut timings.total) += now - since;
        }
    }

    fn begin(&self) {
        self.timings().since = Some(Instant::now());
    }

    fn timings(&self) -> MutexGuard<'_, Timings> {
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
        self.add_to(|total| &mut total.row_kernels);
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
        self.watch.add_to(|total| &mut total.draw);
        next
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.unmasker)
    }
}
