use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conjoint_core::Stream;

use crate::Error;

/// A stream that repeats the choices of the current branch, and then always takes the first possible
/// outcome. Clones share one branch.
#[derive(Debug, Clone, Default)]
pub struct ReplayStream(Arc<Mutex<Path>>);

impl ReplayStream {
    /// The current branch, locked.
    pub(super) fn path(&self) -> MutexGuard<'_, Path> {
        // The path is consistent after each statement, so a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for ReplayStream {
    fn categorical(&mut self, logits: &[f32]) -> usize {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = logits.iter().map(|&l| (f64::from(l) - f64::from(max)).exp());
        self.path().choose(weights.collect())
    }

    fn below(&mut self, n: usize) -> usize {
        self.path().choose(vec![1.0; n])
    }
}

/// One branch: the choices of this run so far, and those to repeat.
#[derive(Debug, Default)]
pub(super) struct Path {
    choices: Vec<Choice>,
    made: usize,
    error: Option<ReplayError>,
}

#[derive(Debug)]
struct Choice {
    probabilities: Vec<f64>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
enum ReplayError {
    Diverged,
    NothingToChoose,
}

impl Path {
    /// Makes the next choice of the run, with probability ∝ weight.
    fn choose(&mut self, weights: Vec<f64>) -> usize {
        let total: f64 = weights.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            self.error = Some(ReplayError::NothingToChoose);
            return 0;
        }
        let probabilities: Vec<f64> = weights.iter().map(|w| w / total).collect();
        match self.choices.get(self.made) {
            Some(choice) if choice.probabilities != probabilities => {
                self.error = Some(ReplayError::Diverged);
                return 0;
            }
            Some(_) => {}
            None => {
                let taken = probabilities.iter().position(|&p| p > 0.0).unwrap_or(0);
                self.choices.push(Choice { probabilities, taken });
            }
        }
        self.made += 1;
        self.choices[self.made - 1].taken
    }

    /// Checks that the run repeated its choices, and that each had a possible outcome.
    pub fn check(&self, branch: usize) -> Result<(), Error> {
        match self.error {
            Some(ReplayError::NothingToChoose) => Err(Error::NothingToChoose { branch }),
            Some(ReplayError::Diverged) => Err(Error::NotReplayable { branch }),
            None if self.made < self.choices.len() => Err(Error::NotReplayable { branch }),
            None => Ok(()),
        }
    }

    /// The product of the probabilities of the choices.
    pub fn probability(&self) -> f64 {
        self.choices.iter().map(|choice| choice.probabilities[choice.taken]).product()
    }

    /// Moves to the next branch: the last choice with a further outcome takes it, and all later
    /// choices are dropped. Returns false if there is none.
    pub fn advance(&mut self) -> bool {
        self.made = 0;
        while let Some(choice) = self.choices.last_mut() {
            let later = choice.taken + 1..choice.probabilities.len();
            if let Some(next) = later.into_iter().find(|&i| choice.probabilities[i] > 0.0) {
                choice.taken = next;
                return true;
            }
            self.choices.pop();
        }
        false
    }
}
