//! Schedules: set the number of tokens that each denoising step reveals.

use std::sync::Arc;

use crate::observation::{Candidate, Row};
use crate::{Error, range};

mod cosine;
mod dream_linear;
mod entropy_bound;
mod factor;
mod linear;
mod llada_even;
mod threshold;
mod tokens_per_step;
mod wide_threshold;

pub use cosine::Cosine;
pub use dream_linear::DreamLinear;
pub(crate) use dream_linear::last_timestep;
pub use entropy_bound::EntropyBound;
pub use factor::Factor;
pub use linear::Linear;
pub use llada_even::LladaEven;
pub use threshold::Threshold;
pub use tokens_per_step::TokensPerStep;
pub use wide_threshold::WideThreshold;

/// The progress of a sequence in its current block.
///
/// [`Observation::step`](crate::Observation::step) counts the steps of the whole sequence instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Denoising steps already taken in this block.
    pub step: usize,
    /// The schedule's steps for this block: its total over the number of blocks. 0 for a schedule
    /// without a total.
    pub steps: usize,
    /// Positions still masked in this block: at least 1, unless the strategy keeps a full block open.
    pub masked: usize,
    /// Positions that were masked when the block began.
    pub block_masked: usize,
}

impl Progress {
    /// Whether this is the schedule's last step for the block, or a later one.
    pub fn is_last(&self) -> bool {
        self.step + 1 >= self.steps
    }

    /// The schedule's steps for this block, for a strategy that requires a total.
    ///
    /// # Errors
    /// [`Error::NeedsSteps`] if the schedule has no total.
    pub fn total(&self, strategy: &'static str) -> Result<usize, Error> {
        if self.steps == 0 { Err(Error::NeedsSteps { strategy }) } else { Ok(self.steps) }
    }
}

/// The candidates of a step, ranked by an order, the best first.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'a> {
    candidates: &'a [Candidate],
    ranked: &'a [Row],
}

impl<'a> Ranking<'a> {
    /// Creates a ranking of candidates from their rows, the best first. Rows of queries are ignored.
    pub fn new(candidates: &'a [Candidate], ranked: &'a [Row]) -> Self {
        Self { candidates, ranked }
    }

    /// The candidates from the best to the worst.
    pub fn iter(&self) -> impl Iterator<Item = &'a Candidate> + use<'a> {
        let candidates = self.candidates;
        self.ranked.iter().filter_map(move |row| candidates.get(row.index()))
    }
}

/// Sets how many tokens a step reveals.
///
/// The generator clamps every number to 1 … the number of masked positions. There is one exception: while a
/// schedule with a total has steps left, a [`plan`](Schedule::plan) of 0 is an *idle* step, which skips the
/// forward.
#[doc(alias = "unmasking schedule")]
#[doc(alias = "mask schedule")]
#[doc(alias = "noise schedule")]
pub trait Schedule: Send + Sync {
    /// The total number of denoising steps, spread evenly over the blocks; `None` if the schedule
    /// runs until nothing is masked.
    fn steps(&self) -> Option<usize> {
        None
    }

    /// The largest number of tokens to reveal, before the forward of the step.
    fn plan(&self, progress: &Progress) -> usize;

    /// The number of `ranked` candidates to reveal, after the forward. By default the planned number.
    fn quota(&self, progress: &Progress, ranked: Ranking<'_>) -> usize {
        let _ = ranked;
        self.plan(progress)
    }
}

impl<S: Schedule + ?Sized> Schedule for Arc<S> {
    fn steps(&self) -> Option<usize> {
        (**self).steps()
    }

    fn plan(&self, progress: &Progress) -> usize {
        (**self).plan(progress)
    }

    fn quota(&self, progress: &Progress, ranked: Ranking<'_>) -> usize {
        (**self).quota(progress, ranked)
    }
}

/// Checks a total number of steps.
pub(crate) fn at_least_one_step(steps: usize) -> Result<usize, Error> {
    range::at_least("steps", steps, 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::RowStats;
    use proptest::prelude::*;

    /// The tokens a schedule plans at each step of one block of `n` masked positions.
    pub(crate) fn plans(schedule: &dyn Schedule, n: usize) -> Vec<usize> {
        let steps = schedule.steps().unwrap_or(0);
        let mut progress = Progress { step: 0, steps, masked: n, block_masked: n };
        let mut plans = Vec::new();
        while progress.masked > 0 {
            let plan = schedule.plan(&progress);
            plans.push(plan);
            progress.masked -= plan.min(progress.masked);
            progress.step += 1;
            assert!(plans.len() <= 10_000, "{plans:?}");
        }
        plans
    }

    /// The quota of a schedule for candidates of these confidences and entropies, ranked as given.
    pub(crate) fn quota(schedule: &dyn Schedule, rows: &[(f64, f64)]) -> usize {
        let candidate = |(position, &(confidence, entropy)): (usize, &(f64, f64))| {
            let stats = RowStats { log_z: 0.0, entropy, top: 0, p1: confidence, p2: 0.0 };
            Candidate { position, stats, confidence }
        };
        let candidates: Vec<Candidate> = rows.iter().enumerate().map(candidate).collect();
        let ranked: Vec<Row> = (0..rows.len()).map(Row::candidate).collect();
        let (steps, masked) = (schedule.steps().unwrap_or(0), rows.len());
        let progress = Progress { step: 0, steps, masked, block_masked: masked };
        schedule.quota(&progress, Ranking::new(&candidates, &ranked))
    }

    /// Confidences and entropies of up to 20 candidates, with ties and certain rows among them.
    fn rows() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let confidence = prop_oneof![Just(0.0), Just(0.5), Just(1.0), 0.0f64..1.0];
        let entropy = prop_oneof![Just(0.0), 0.0f64..3.0];
        prop::collection::vec((confidence, entropy), 1..20)
    }

    /// The largest allowed k, as Fast-dLLM and EB-Sampler define their rules.
    fn largest(n: usize, allowed: impl Fn(usize) -> bool) -> usize {
        (1..=n).filter(|&k| allowed(k)).max().unwrap_or(1)
    }

    proptest! {
        #[test]
        fn adaptive_schedules_match_their_definitions(
            mut rows in rows(), tau in 0.01f64..=1.0, f in 0.01f64..4.0, gamma in 0.0f64..2.0,
        ) {
            let n = rows.len();
            rows.sort_by(|a, b| b.0.total_cmp(&a.0));
            let threshold = Threshold::new(tau).unwrap();
            let confident = rows.iter().filter(|row| row.0 >= tau).count();
            prop_assert_eq!(quota(&threshold, &rows), confident.max(1));
            let factor = Factor::new(f).unwrap();
            let largest_n = largest(n, |k| rows[k - 1].0 >= 1.0 - f / (k + 1) as f64);
            prop_assert_eq!(quota(&factor, &rows), largest_n);
            rows.sort_by(|a, b| a.1.total_cmp(&b.1));
            let bound = EntropyBound::new(gamma).unwrap();
            // In ascending order the largest entropy is the last.
            let largest_k = largest(n, |k| rows[..k - 1].iter().map(|r| r.1).sum::<f64>() <= gamma);
            prop_assert_eq!(quota(&bound, &rows), largest_k);
        }

        /// In any order: at least one, at most all, and more with a looser bound.
        #[test]
        fn adaptive_schedules_grow_with_their_bound(
            rows in rows(), (a, b) in (0.01f64..=1.0, 0.01f64..=1.0),
        ) {
            let (low, high) = (a.min(b), a.max(b));
            let (loose, tight) = (Threshold::new(low).unwrap(), Threshold::new(high).unwrap());
            let factor = |f| Factor::new(f).unwrap();
            let bound = |gamma| EntropyBound::new(gamma).unwrap();
            let pairs: [[&dyn Schedule; 2]; 3] =
                [[&tight, &loose], [&factor(low), &factor(high)], [&bound(low), &bound(high)]];
            for [tight, loose] in pairs {
                let (few, many) = (quota(tight, &rows), quota(loose, &rows));
                prop_assert!(1 <= few && few <= many && many <= rows.len());
            }
        }

        /// After every step the exact forms are within one token of the share α.
        #[test]
        fn exact_totals(steps in 1usize..80, n in 1usize..80) {
            let linear = |share: f64| share;
            let cosine = |share: f64| 1.0 - (std::f64::consts::FRAC_PI_2 * share).cos();
            let schedules: [&dyn Schedule; 2] =
                [&Linear::new(steps).unwrap(), &Cosine::new(steps).unwrap()];
            for (schedule, alpha) in schedules.into_iter().zip([linear, cosine]) {
                let mut revealed = 0;
                for (step, plan) in plans(schedule, n).into_iter().enumerate() {
                    revealed += plan;
                    let exact = n as f64 * alpha((step + 1) as f64 / steps as f64);
                    let ahead = revealed as f64 - exact;
                    prop_assert!((-1e-9..1.0 + 1e-9).contains(&ahead), "step {step}: {ahead}");
                }
            }
        }

        #[test]
        fn finite_schedules_reveal_all_within_their_steps(steps in 1usize..80, n in 1usize..80) {
            let schedules: [Box<dyn Schedule>; 5] = [
                Box::new(DreamLinear::new(steps).unwrap()),
                Box::new(LladaEven::new(steps).unwrap()),
                Box::new(Linear::new(steps).unwrap()),
                Box::new(Cosine::new(steps).unwrap()),
                Box::new(Cosine::floor(steps).unwrap()),
            ];
            for schedule in &schedules {
                let plans = plans(schedule.as_ref(), n);
                prop_assert!(plans.len() <= steps, "{:?}", plans);
                prop_assert_eq!(plans.iter().sum::<usize>(), n);
            }
        }
    }
}
