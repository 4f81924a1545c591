//! How long to train, how fast, and where to write.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::check;
use crate::devices::DeviceKind;
use crate::state::Position;

/// Budget, folder, batch and learning rates of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// The run's folder: checkpoints, the log, the loss curve and the result.
    pub dir: PathBuf,
    /// Start from the weights in this file instead of fresh ones.
    pub init: Option<PathBuf>,
    /// Stop after this many steps.
    pub max_steps: Option<u64>,
    /// Stop after this many minutes of training, those before a resume included.
    pub max_minutes: Option<f64>,
    /// What gradients are computed on.
    pub device: DeviceKind,
    /// Rows per step.
    pub batch: usize,
    /// Threads; each takes an equal part of the batch, and they take turns at the devices.
    pub workers: usize,
    /// At most this many rows in one backward pass of a worker, which adds up the gradients of several
    /// passes where its part of the batch is larger; `None` takes the part at once. Less memory, the
    /// same gradient.
    pub micro_batch: Option<usize>,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Steps between checkpoints, beside those by time.
    pub checkpoint_steps: Option<u64>,
    /// Stop after this many checkpoints in a row whose validation is no better than the best before, and
    /// keep the model of the best; `None` uses up the budget and keeps the last.
    pub patience: Option<u32>,
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

    /// Whether the budget is used up, or the patience.
    pub(crate) fn is_spent(&self, position: &Position) -> bool {
        self.fraction(position) >= 1.0 || self.patience.is_some_and(|most| position.stale >= most)
    }

    /// Whether a checkpoint is due after this step, the last one having been at second `saved`.
    pub(crate) fn is_checkpoint(&self, position: &Position, saved: f64) -> bool {
        position.seconds - saved >= 60.0 * self.checkpoint_minutes
            || self.checkpoint_steps.is_some_and(|steps| position.step.is_multiple_of(steps.max(1)))
    }

    /// The share of the budget used up, in [0, 1].
    pub(crate) fn fraction(&self, position: &Position) -> f64 {
        let steps = self.max_steps.map_or(0.0, |max| position.step as f64 / max.max(1) as f64);
        let time = self.max_minutes.map_or(0.0, |max| position.seconds / (60.0 * max));
        steps.max(time).min(1.0)
    }
}

/// Which parameters are updated by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Muon for the matrices inside the layers, AdamW for everything else.
    Muon,
    /// AdamW for everything.
    AdamW,
}

/// What becomes of the learning rates after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decay {
    /// They fall in a straight line to zero at the end of the budget.
    Linear,
    /// They stay.
    Constant,
}

/// Learning rates and what is done to the gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// Which rule updates the matrices.
    pub method: Method,
    /// Peak learning rate of Muon: the root mean square of one update is 0.2 of it.
    pub muon_rate: f64,
    /// Peak learning rate of AdamW; with [`Method::Muon`] for the embedding, the norms and the biases alone.
    pub adamw_rate: f64,
    /// β₂ of AdamW; β₁ is 0.9.
    pub beta_2: f64,
    /// Decoupled weight decay of the matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm, taken over all parameters together.
    pub clip: f64,
    /// Steps over which the learning rates rise from zero.
    pub warmup_steps: u64,
    /// What becomes of them then.
    pub decay: Decay,
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self {
            method: Method::Muon,
            muon_rate: 3e-3,
            adamw_rate: 3e-3,
            beta_2: 0.98,
            weight_decay: 0.0,
            clip: 1.0,
            warmup_steps: 100,
            decay: Decay::Linear,
        }
    }
}

impl OptimizerOptions {
    /// As the sampler layers of arXiv 2509.22738 were trained: AdamW at 5e-5, β (0.9, 0.999), no weight decay,
    /// gradients clipped to norm 1, constant after 250 steps of warm-up.
    pub fn published() -> Self {
        Self {
            method: Method::AdamW,
            adamw_rate: 5e-5,
            beta_2: 0.999,
            warmup_steps: 250,
            decay: Decay::Constant,
            ..Self::default()
        }
    }

    /// What multiplies the peak rates: a linear rise, then [`OptimizerOptions::decay`].
    pub fn factor(&self, step: u64, progress: f64) -> f64 {
        let rise = ((step + 1) as f64 / (self.warmup_steps + 1) as f64).min(1.0);
        match self.decay {
            Decay::Linear => rise * (1.0 - progress).max(0.0),
            Decay::Constant => rise,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        let rate = |name, value: f64| {
            check(value.is_finite() && value > 0.0, name, value, "finite and above 0")
        };
        rate("muon_rate", self.muon_rate)?;
        rate("adamw_rate", self.adamw_rate)?;
        rate("clip", self.clip)?;
        check((0.0..1.0).contains(&self.beta_2), "beta_2", self.beta_2, "in [0, 1)")?;
        let decay = self.weight_decay;
        check(decay.is_finite() && decay >= 0.0, "weight_decay", decay, "finite and 0 or above")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_rise_and_fall_to_zero_or_stay() {
        let options = OptimizerOptions { warmup_steps: 9, ..OptimizerOptions::default() };
        assert_eq!(options.factor(0, 0.0), 0.1);
        assert_eq!(options.factor(9, 0.0), 1.0);
        assert_eq!(options.factor(50, 0.5), 0.5);
        assert_eq!(options.factor(100, 1.0), 0.0);
        let constant = OptimizerOptions { decay: Decay::Constant, ..options };
        assert_eq!((constant.factor(0, 0.0), constant.factor(99, 0.99)), (0.1, 1.0));
    }

    #[test]
    fn rates_that_cannot_work_are_refused() {
        let good = OptimizerOptions::published();
        assert!(good.validate().is_ok());
        let refused = |options: OptimizerOptions| match options.validate() {
            Err(TrainError::Invalid { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(OptimizerOptions { clip: 0.0, ..good }), "clip");
        assert_eq!(refused(OptimizerOptions { adamw_rate: f64::NAN, ..good }), "adamw_rate");
        assert_eq!(refused(OptimizerOptions { beta_2: 1.0, ..good }), "beta_2");
        assert_eq!(refused(OptimizerOptions { weight_decay: -1.0, ..good }), "weight_decay");
    }
}
