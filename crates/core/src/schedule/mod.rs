//! How many to reveal: schedules set the number of tokens of each denoising step.

use std::sync::Arc;

use crate::Error;
use crate::unmasker::Candidate;

mod cosine;
mod dream_linear;
mod llada_even;
mod tokens_per_step;

pub use cosine::Cosine;
pub use dream_linear::DreamLinear;
pub use llada_even::LladaEven;
pub use tokens_per_step::TokensPerStep;

/// Where a sequence stands in its current block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Denoising steps already taken in this block.
    pub step: usize,
    /// The schedule's steps for this block: its total over the number of blocks. 0 for a schedule
    /// without a total.
    pub steps: usize,
    /// Positions still masked in this block, at least 1.
    pub masked: usize,
    /// Positions that were masked when the block began.
    pub block_masked: usize,
}

impl Progress {
    /// Whether this is the last step that the schedule has for the block, or past it.
    pub fn is_last(&self) -> bool {
        self.step + 1 >= self.steps
    }

    /// The schedule's steps for this block, for a strategy that needs to know them.
    ///
    /// # Errors
    /// [`Error::NeedsSteps`] if the schedule has no total.
    pub fn total(&self, strategy: &'static str) -> Result<usize, Error> {
        if self.steps == 0 { Err(Error::NeedsSteps { strategy }) } else { Ok(self.steps) }
    }
}

/// The candidates of a step, ranked by an order, the best first.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a> {
    pub(crate) candidates: &'a [Candidate],
    pub(crate) ranked: &'a [usize],
}

impl<'a> Ranked<'a> {
    /// The candidates from the best to the worst.
    pub fn iter(&self) -> impl Iterator<Item = &'a Candidate> + use<'a> {
        let candidates = self.candidates;
        self.ranked.iter().filter_map(move |&i| candidates.get(i))
    }
}

/// Says how many tokens a step reveals.
///
/// The generator keeps every answer within 1 and the number of masked positions, with one
/// exception: while a finite schedule has steps left, a [`plan`](Schedule::plan) of 0 is an *idle*
/// step, which costs no forward (unless the strategy [sees to it itself](crate::Unmasker::prepare)).
pub trait Schedule: Send + Sync {
    /// The total number of denoising steps, spread evenly over the blocks; `None` if the schedule
    /// runs until nothing is masked.
    fn steps(&self) -> Option<usize> {
        None
    }

    /// How many tokens to reveal at most, before anything is known of the step's distributions.
    fn plan(&self, progress: &Progress) -> usize;

    /// How many of the `ranked` candidates to reveal, now that the model has been asked. By
    /// default what was planned.
    fn quota(&self, progress: &Progress, ranked: Ranked<'_>) -> usize {
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

    fn quota(&self, progress: &Progress, ranked: Ranked<'_>) -> usize {
        (**self).quota(progress, ranked)
    }
}

/// The check shared by schedules with a total number of steps.
fn at_least_one_step(steps: usize) -> Result<usize, Error> {
    if steps == 0 {
        return Err(Error::parameter("steps", steps, "at least 1"));
    }
    Ok(steps)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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

    proptest! {
        #[test]
        fn finite_schedules_reveal_all_within_their_steps(steps in 1usize..80, n in 1usize..80) {
            let schedules: [Box<dyn Schedule>; 3] = [
                Box::new(DreamLinear::new(steps).unwrap()),
                Box::new(LladaEven::new(steps).unwrap()),
                Box::new(Cosine::new(steps).unwrap()),
            ];
            for schedule in &schedules {
                let plans = plans(schedule.as_ref(), n);
                prop_assert!(plans.len() <= steps, "{:?}", plans);
                prop_assert_eq!(plans.iter().sum::<usize>(), n);
            }
        }
    }
}
