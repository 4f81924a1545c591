//! Options of the optimizers.

use serde::{Deserialize, Serialize};

use crate::error::{TrainError, check};

/// The optimizer of each group of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Method {
    /// Muon for the matrices inside the layers, AdamW for all other parameters.
    #[doc(alias = "Newton-Schulz")]
    Muon,
    /// AdamW for all parameters.
    #[doc(alias = "Adam")]
    AdamW,
}

/// The schedule of the learning rates after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Decay {
    /// The rates fall linearly, to zero at the end of the budget.
    Linear,
    /// The rates stay constant.
    Constant,
}

/// Learning rates, weight decay and gradient clipping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// The optimizer of the matrices inside the layers.
    pub method: Method,
    /// Peak learning rate of Muon. The root mean square of an update is 0.2 times this rate.
    pub muon_rate: f64,
    /// Peak learning rate of AdamW. With [`Method::Muon`] it applies to the embedding, the norms and the biases only.
    pub adamw_rate: f64,
    /// β₂ of AdamW; β₁ is 0.9.
    pub beta_2: f64,
    /// Decoupled weight decay of the matrices.
    pub weight_decay: f64,
    /// The largest gradient norm over all parameters. Larger gradients are scaled down to it.
    pub clip: f64,
    /// Warm-up: the number of steps over which the learning rates rise linearly from zero.
    pub warmup_steps: u64,
    /// The schedule of the learning rates after the warm-up.
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
    /// The published options for sampler layers (arXiv 2509.22738): AdamW at 5e-5, β (0.9, 0.999), no weight decay,
    /// gradients clipped to norm 1, constant rates after 250 steps of warm-up.
    #[must_use]
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

    /// The factor on the peak rates: a linear rise, then [`OptimizerOptions::decay`].
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
    fn rates_rise_and_then_fall_to_zero_or_stay() {
        let options = OptimizerOptions { warmup_steps: 9, ..OptimizerOptions::default() };
        assert_eq!(options.factor(0, 0.0), 0.1);
        assert_eq!(options.factor(9, 0.0), 1.0);
        assert_eq!(options.factor(50, 0.5), 0.5);
        assert_eq!(options.factor(100, 1.0), 0.0);
        let constant = OptimizerOptions { decay: Decay::Constant, ..options };
        assert_eq!((constant.factor(0, 0.0), constant.factor(99, 0.99)), (0.1, 1.0));
    }

    #[test]
    fn unusable_rates_are_rejected() {
        let good = OptimizerOptions::published();
        assert!(good.validate().is_ok());
        let rejected = |options: OptimizerOptions| match options.validate() {
            Err(TrainError::Invalid { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(rejected(OptimizerOptions { clip: 0.0, ..good }), "clip");
        assert_eq!(rejected(OptimizerOptions { adamw_rate: f64::NAN, ..good }), "adamw_rate");
        assert_eq!(rejected(OptimizerOptions { beta_2: 1.0, ..good }), "beta_2");
        assert_eq!(rejected(OptimizerOptions { weight_decay: -1.0, ..good }), "weight_decay");
    }
}
