use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Cost, Measured};

/// A measured point of a comparison: a strategy with one setting and one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The strategy's name.
    pub strategy: String,
    /// Its setting, such as `K = 4`; empty if it has none.
    pub parameter: String,
    /// The seed of the texts.
    pub seed: u64,
    /// The number of generated texts.
    pub texts: u64,
    /// The number of generated tokens, over all texts.
    pub tokens: u64,
    /// The calls of the model, over all texts.
    pub cost: Cost,
    /// Seconds of generation.
    pub seconds: f64,
    /// Figures by name.
    pub metrics: BTreeMap<String, Measured>,
}

impl Point {
    /// Whether `other` has the same strategy and setting, with any seed.
    pub(crate) fn is_same_setting(&self, other: &Point) -> bool {
        (&self.strategy, &self.parameter) == (&other.strategy, &other.parameter)
    }

    /// Tokens per full forward pass of the denoiser; sampler passes do not count. This is K if each step has one canvas and
    /// reveals K tokens. [`Cost::tokens_per_forward`] is another quantity: it counts sampler passes at their measured cost.
    pub fn tokens_per_forward(&self) -> f64 {
        self.tokens as f64 / self.cost.denoiser_calls
    }

    /// Denoiser-equivalent forwards per token, with sampler passes at their measured cost.
    #[doc(alias = "NFE")]
    pub fn forwards_per_token(&self) -> f64 {
        self.cost.forwards_per_token(self.tokens)
    }
}

/// The points of a comparison. A report can be written as JSON, as a Markdown table, and as a [`Plot`](crate::Plot).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The points, in display order.
    pub points: Vec<Point>,
}

impl Report {
    /// The metrics of all points, in alphabetical order.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.points.iter().flat_map(|point| point.metrics.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A point with one metric, MAUVE.
    pub(crate) fn point(strategy: &str, k: u32, seed: u64, value: f64) -> Point {
        let figure = Measured { value, low: value - 0.02, high: value + 0.01, n: 500, seed };
        let (tokens, k) = (32_000, f64::from(k));
        let calls = f64::from(tokens) / k;
        let sampler_calls = if strategy == "joint" { calls * (k - 1.0) } else { 0.0 };
        Point {
            strategy: strategy.to_owned(),
            parameter: format!("K = {k}"),
            seed,
            texts: 500,
            tokens: tokens as u64,
            cost: Cost { denoiser_calls: calls, rounds: calls, sampler_calls, sampler_cost: 0.125 },
            seconds: 16.0,
            metrics: BTreeMap::from([("MAUVE".to_owned(), figure)]),
        }
    }
}
