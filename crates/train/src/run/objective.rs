//! The interface between the training loop and the two kinds of training.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use serde_json::Value;

use super::identity::Identity;
use crate::error::TrainError;

/// A training objective: a loss over rows that are drawn by step, a validation, and a way to save the model.
pub(crate) trait Objective<M>: Sync {
    /// The part of step `step`'s loss that rows `rows` of its batch contribute. The parts of a batch sum to its loss.
    /// `progress` is the used share of the budget.
    fn loss(
        &self,
        module: &M,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError>;
    /// Measures the averaged weights on held-out rows, and returns figures by name.
    fn validate(&self, averaged: &M) -> Result<BTreeMap<String, f64>, TrainError>;
    /// Writes the averaged weights as a usable model.
    fn save(&self, averaged: &M) -> Result<(), TrainError>;
    /// The number of tokens in one step, or its mean.
    fn tokens_per_step(&self) -> u64;
    /// Whether the plot of losses, in nats, includes a validated figure.
    fn is_plotted(&self, _figure: &str) -> bool {
        true
    }
    /// The options that must not change when a run resumes. Budgets, rates and the batch may change.
    fn identity(&self) -> Identity;
    /// The state from one step to the next, other than the weights. Each checkpoint stores it.
    fn carried(&self) -> Result<Value, serde_json::Error> {
        Ok(Value::Null)
    }
    /// Restores the state of a checkpoint.
    fn carry_on(&self, _carried: Value) -> Result<(), serde_json::Error> {
        Ok(())
    }
    /// Whether the score includes a validated figure.
    fn is_headline(&self, _figure: &str) -> bool {
        true
    }
    /// The score of a validation, lower being better: the mean of its headline figures.
    fn score(&self, validation: &BTreeMap<String, f64>) -> f64 {
        let figures = || validation.iter().filter(|(name, _)| self.is_headline(name));
        figures().map(|(_, value)| value).sum::<f64>() / figures().count().max(1) as f64
    }
}
