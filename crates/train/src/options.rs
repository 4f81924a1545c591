//! How long to train, how fast, and where to write.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::check;
use crate::state::Position;

/// Budget, folder, batch and learning rates of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// The run's folder: checkpoints, the log, the loss curve and the result.
    pub dir: PathBuf,
    /// Stop after this many steps.
    pub max_steps: Option<u64>,
    /// Stop after this many minutes of training, those before a resume included.
    pub max_minutes: Option<f64>,
    /// Rows per step.
    pub batch: usize,
    /// Threads; each takes an equal part of the batch.
    pub workers: usize,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Per-step decay of the averaged weights, which are the ones that are saved as the model.
    pub average_decay: f64,
    /// The seed of the weights, the texts and the masks.
    pub seed: u64,
    /// Learning rates, clipping and warm-up.
    pub optimizer: OptimizerOptions,
    /// Whether to show progress on the terminal.
    pub progress: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("run"),
            max_steps: None,
            max_minutes: Some(60.0),
            batch: 64,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            checkpoint_minutes: 5.0,
            log_every: 20,
            average_decay: 0.999,
            seed: 0,
            optimizer: OptimizerOptions::default(),
            progress: true,
        }
    }
}

impl RunOptions {
    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        check(
            self.max_steps.is_some() || self.max_minutes.is_some(),
            "max_steps",
            "none",
            "a budget, in steps or in minutes",
        )?;
        check(
            self.max_minutes.is_none_or(|m| m > 0.0),
            "max_minutes",
            format!("{:?}", self.max_minutes),
            "above 0",
        )?;
        check(self.batch > 0, "batch", self.batch, "at least 1")?;
        check(
            (1..=self.batch).contains(&self.workers),
            "workers",
            self.workers,
            format!("1 to the batch of {}", self.batch),
        )?;
        check(
            (0.0..1.0).contains(&self.average_decay),
            "average_decay",
            self.average_decay,
            "in [0, 1)",
        )
    }

    /// The share of the budget used up, in [0, 1].
    pub(crate) fn fraction(&self, position: &Position) -> f64 {
        let steps = self.max_steps.map_or(0.0, |max| position.step as f64 / max.max(1) as f64);
        let time = self.max_minutes.map_or(0.0, |max| position.seconds / (60.0 * max));
        steps.max(time).min(1.0)
    }
}

/// Learning rates and what is done to the gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// Peak learning rate of Muon: the root mean square of one update is 0.2 of it.
    pub muon_rate: f64,
    /// Peak learning rate of AdamW, for the embedding, the norms and the biases.
    pub adamw_rate: f64,
    /// Decoupled weight decay of Muon's matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm, taken over all parameters together.
    pub clip: f64,
    /// Steps over which the learning rates rise from zero.
    pub warmup_steps: u64,
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self { muon_rate: 8e-3, adamw_rate: 3e-3, weight_decay: 0.0, clip: 1.0, warmup_steps: 100 }
    }
}

impl OptimizerOptions {
    /// What multiplies the peak rates: a linear rise, then a linear fall to zero at the run's end.
    pub fn factor(&self, step: u64, progress: f64) -> f64 {
        let rise = (step + 1) as f64 / (self.warmup_steps + 1) as f64;
        rise.min(1.0) * (1.0 - progress).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_rise_and_fall_to_zero() {
        let options = OptimizerOptions { warmup_steps: 9, ..OptimizerOptions::default() };
        assert_eq!(options.factor(0, 0.0), 0.1);
        assert_eq!(options.factor(9, 0.0), 1.0);
        assert_eq!(options.factor(50, 0.5), 0.5);
        assert_eq!(options.factor(100, 1.0), 0.0);
    }
}
