//! The position of a run: its steps, time and losses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The position of a run in its budget, and its best validation. Each checkpoint stores it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The number of steps.
    pub step: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The running mean of the loss over about the last hundred steps.
    pub mean_loss: f64,
    /// The best score of a validation.
    #[serde(default)]
    pub best: Option<f64>,
    /// The number of validations since the best one.
    #[serde(default)]
    pub stale: u32,
    /// The figures of the best validation.
    #[serde(default)]
    pub validation: BTreeMap<String, f64>,
}

impl Position {
    /// Counts one step.
    pub fn advance(&mut self, loss: f64, seconds: f64) {
        let weight = 1.0 / (self.step + 1).min(100) as f64;
        self.mean_loss += weight * (loss - self.mean_loss);
        self.step += 1;
        self.seconds += seconds;
    }

    /// Records a validation and its score. Returns whether it is the best so far.
    pub fn judge(&mut self, score: f64, validation: &BTreeMap<String, f64>) -> bool {
        let better = self.best.is_none_or(|best| score < best);
        if better {
            (self.best, self.stale) = (Some(score), 0);
            self.validation.clone_from(validation);
        } else {
            self.stale += 1;
        }
        better
    }
}
