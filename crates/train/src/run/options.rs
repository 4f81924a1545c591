//! The options that all training runs share.

use std::path::PathBuf;

use super::devices::DeviceKind;
use super::optimizer_options::OptimizerOptions;
use super::position::Position;
use crate::error::{TrainError, check};

/// Budget, folder, batch and optimizer of a training run.
///
/// A run ends when either of its budgets, `max_steps` or `max_minutes`, is used up. At least one is required.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// The run's folder, which receives the result, the log, the loss curve and checkpoints.
    pub dir: PathBuf,
    /// A file of weights to start from, instead of fresh weights.
    pub init: Option<PathBuf>,
    /// The budget in steps.
    pub max_steps: Option<u64>,
    /// The budget in minutes of training, including those before a resume.
    pub max_minutes: Option<f64>,
    /// The devices that compute gradients.
    pub device: DeviceKind,
    /// The number of rows per step.
    pub batch: usize,
    /// The number of threads. Each takes an equal part of the batch; devices are assigned to threads in turn.
    pub workers: usize,
    /// The most rows in one backward pass of a thread; `None` for its whole part of the batch. A thread sums the
    /// gradients of several passes if its part is larger. Fewer rows need less memory for the same gradient.
    #[doc(alias = "gradient accumulation")]
    pub micro_batch: Option<usize>,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between checkpoints, in addition to those by time.
    pub checkpoint_steps: Option<u64>,
    /// Early stopping: end the run after this many consecutive checkpoints without a better validation, and keep the
    /// model of the best one. `None` uses the whole budget and keeps the last model.
    #[doc(alias = "early stopping")]
    pub patience: Option<u32>,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Decay per step of the moving average of the weights. The averaged weights are saved as the model.
    #[doc(alias = "EMA")]
    #[doc(alias = "exponential moving average")]
    pub average_decay: f64,
    /// The seed of weights, texts and masks.
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
            init: None,
            max_steps: None,
            max_minutes: Some(60.0),
            device: DeviceKind::default(),
            batch: 32,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            micro_batch: None,
            checkpoint_minutes: 5.0,
            checkpoint_steps: None,
            patience: None,
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
        self.device.all()?;
        check(self.batch > 0, "batch", self.batch, "at least 1")?;
        check(
            (1..=self.batch).contains(&self.workers),
            "workers",
            self.workers,
            format!("1 to the batch of {}", self.batch),
        )?;
        check(self.micro_batch != Some(0), "micro_batch", 0, "at least 1")?;
        check(self.checkpoint_steps != Some(0), "checkpoint_steps", 0, "at least 1")?;
        check(self.patience != Some(0), "patience", 0, "at least 1")?;
        check(
            (0.0..1.0).contains(&self.average_decay),
            "average_decay",
            self.average_decay,
            "in [0, 1)",
        )?;
        self.optimizer.validate()
    }

    /// Whether the budget or the patience is used up.
    pub(crate) fn is_spent(&self, position: &Position) -> bool {
        self.fraction(position) >= 1.0 || self.patience.is_some_and(|most| position.stale >= most)
    }

    /// Whether a checkpoint is due after this step, given the time of the last one in seconds.
    pub(crate) fn is_checkpoint(&self, position: &Position, saved: f64) -> bool {
        position.seconds - saved >= 60.0 * self.checkpoint_minutes
            || self.checkpoint_steps.is_some_and(|steps| position.step.is_multiple_of(steps.max(1)))
    }

    /// The used share of the budget, in [0, 1].
    pub(crate) fn fraction(&self, position: &Position) -> f64 {
        let steps = self.max_steps.map_or(0.0, |max| position.step as f64 / max.max(1) as f64);
        let time = self.max_minutes.map_or(0.0, |max| position.seconds / (60.0 * max));
        steps.max(time).min(1.0)
    }
}
