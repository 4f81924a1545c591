use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conjoint_core::Stream;

use crate::Error;

/// A stream that repeats the choices of the branch being walked and, past their end, always takes
/// the first branch that is possible. Clones share one branch.
#[derive(Debug, Clone, Default)]
pub struct ReplayStream(Arc<Mutex<Path>>);

impl ReplayStream {
    /// The branch as it stands, locked.
    pub(super) fn path(&self) -> MutexGuard<'_, Path> {
        // The path is whole between any two statements, so a panic elsewhere leaves it usable.
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

/// One branch: the choices made so far in this run, and those to repeat.
#[derive(Debug, Default)]
pub(super) struct Path {
    choices: Vec<Choice>,
    made: usize,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Choice {
    probabilities: Vec<f64>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Diverged,
    NothingToChoose,
}

impl Path {
    /// The branch to take at the next choice of the run, with probability ∝ weight.
    fn choose(&mut self, weights: Vec<f64>) -> usize {
        let total: f64 = weights.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            self.trouble = Some(Trouble::NothingToChoose);
            return 0;
        }
        let probabilities: Vec<f64> = weights.iter().map(|w| w / total).collect();
        match self.choices.get(self.made) {
            Some(choice) if choice.probabilities != probabilities => {
                self.trouble = Some(Trouble::Diverged);
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

    /// Whether the run made the choices it was to repeat, and every one among something.
    pub fn check(&self, branch: usize) -> Result<(), Error> {
        match self.trouble {
            Some(Trouble::NothingToChoose) => Err(Error::NothingToChoose { branch }),
            Some(Trouble::Diverged) => Err(Error::NotReplayable { branch }),
            None if self.made < self.choices.len() => Err(Error::NotReplayable { branch }),
            None => Ok(()),
        }
    }

    /// Π of the probabilities of the branches taken.
    pub fn probability(&self) -> f64 {
        self.choices.iter().map(|choice| choice.probabilities[choice.taken]).product()
    }

    /// Moves to the next branch: the last choice that has one left takes it, and all choices after
    /// it are forgotten. False if there is none.
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
