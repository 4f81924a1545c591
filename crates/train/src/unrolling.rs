//! The distillation objective: drawing states along trajectories, their loss, and validation.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use conjoint_trajectory::{Trajectory, digest};
use rand::RngExt;

use crate::TrainError;
use crate::chain::{Chain, Frozen};
use crate::distill;
use crate::distillation::SamplerOptions;
use crate::figures::Figures;
use crate::identity::{Identity, identity};
use crate::masking;
use crate::sampler::SamplerLayer;
use crate::teacher::Teacher;
use crate::trainer::Objective;

/// States along the frozen model's trajectories, and how the layer's unrolled passes compare there.
pub(crate) struct Distillation<'a, T> {
    pub frozen: Frozen<'a, T>,
    pub training: &'a [Trajectory],
    pub held_out: &'a [Trajectory],
    pub options: &'a SamplerOptions,
}

impl<T: Teacher> Distillation<'_, T> {
    /// The states of rows `rows` of step `step`'s batch: the reveals stratified over the batch.
    fn chains(&self, step: u64, rows: Range<usize>) -> Vec<Chain<'_>> {
        let batch = self.options.run.batch;
        let chain = |j: usize| {
            let mut rng = masking::stream(self.options.run.seed, step * batch as u64 + j as u64);
            let trajectory = &self.training[rng.random_range(0..self.training.len())];
            let share = (j as f64 + rng.random::<f64>()) / batch as f64;
            // At least one row must be left to compare at depth 1.
            let states = trajectory.order.len() - 1;
            Chain { trajectory, reveals: ((share * states as f64) as usize).min(states - 1) }
        };
        rows.map(chain).collect()
    }

    /// The depths' weights in this step, with sum 1.
    fn weights(&self, step: u64) -> Vec<f64> {
        let weights = &self.options.depth_weights;
        let sum: f64 = weights.iter().sum();
        if !self.options.one_depth {
            return weights.iter().map(|w| w / sum).collect();
        }
        let mut left = sum * masking::stream(self.options.run.seed ^ DEPTHS, step).random::<f64>();
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        let drawn = drawn.unwrap_or(0);
        (0..=drawn).map(|j| f64::from(u8::from(j == drawn))).collect()
    }
}

/// Sets the depths' random streams apart from the states'.
const DEPTHS: u64 = 0x6465_7074_6873;
/// States of each held-out trajectory that are validated on.
const STATES: usize = 8;

impl<T: Teacher> Objective<SamplerLayer> for Distillation<'_, T> {
    fn loss(
        &self,
        layer: &SamplerLayer,
        step: u64,
        _: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let batch = self.frozen.batch(&self.chains(step, rows), &self.weights(step))?;
        let loss = distill::loss(
            layer,
            &self.frozen.head(),
            batch.start,
            &batch.passes,
            self.options.lambda,
        );
        Ok(loss.div_scalar(self.options.run.batch as f32))
    }

    fn validate(&self, averaged: &SamplerLayer) -> Result<BTreeMap<String, f64>, TrainError> {
        let weights = vec![1.0; self.options.depth_weights.len()];
        let mut figures = Figures::new(weights.len());
        for (i, trajectory) in self.held_out.iter().enumerate() {
            let states = trajectory.order.len() - 1;
            // Evenly spread states, elsewhere in each trajectory.
            let chain =
                |s: usize| Chain { trajectory, reveals: (s * states / STATES + i) % states };
            let chains: Vec<_> = (0..STATES.min(states)).map(chain).collect();
            figures.add(averaged, &self.frozen.head(), &self.frozen.batch(&chains, &weights)?);
        }
        Ok(figures.named())
    }

    fn save(&self, averaged: &SamplerLayer) -> Result<(), TrainError> {
        averaged.save(&self.options.run.dir.join("model.safetensors"), self.options.precision)
    }

    fn identity(&self) -> Identity {
        let options = self.options;
        let rows = self.held_out.iter().chain(self.training);
        identity([
            ("kind", "sampler".to_owned()),
            ("seed", options.run.seed.to_string()),
            ("depth_weights", format!("{:?}", options.depth_weights)),
            ("one_depth", options.one_depth.to_string()),
            ("lambda_teacher", options.lambda.teacher.to_string()),
            ("lambda_start", options.lambda.start.to_string()),
            ("held_out", options.held_out.to_string()),
            ("trajectories", digest(rows.flat_map(|row| [&row.tokens[..], &row.order]))),
            ("hidden_size", self.frozen.base.config().hidden_size.to_string()),
        ])
    }

    fn tokens_per_step(&self) -> u64 {
        let length = self.training.first().map_or(0, |t| t.tokens.len());
        (self.options.run.batch * length) as u64
    }

    fn is_plotted(&self, figure: &str) -> bool {
        figure.starts_with("kl ") && !figure.contains("left")
    }

    fn is_headline(&self, figure: &str) -> bool {
        figure.starts_with("kl left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dream::Dream;
    use crate::options::RunOptions;
    use crate::testing::{shaken, tiny_config, trajectories};

    fn options(depth_weights: Vec<f64>) -> SamplerOptions {
        let run = RunOptions { batch: 8, ..RunOptions::default() };
        SamplerOptions { depth_weights, run, ..SamplerOptions::default() }
    }

    #[test]
    fn states_are_spread_and_leave_something_to_compare() {
        let options = options(vec![1.0]);
        let (base, trajectories) =
            (shaken(Dream::untied(&tiny_config(), &Default::default()), 1), trajectories(10));
        let frozen = Frozen { teacher: &base.clone(), base };
        let (held_out, training) = trajectories.split_at(2);
        let objective = Distillation { frozen, training, held_out, options: &options };
        let mut seen = [0; 7];
        for step in 0..70 {
            let reveals: Vec<_> =
                objective.chains(step, 0..8).iter().map(|chain| chain.reveals).collect();
            assert!(reveals.is_sorted());
            reveals.iter().for_each(|&k| seen[k] += 1);
            let part: Vec<_> =
                objective.chains(step, 3..5).iter().map(|chain| chain.reveals).collect();
            assert_eq!(part, reveals[3..5]);
        }
        // 560 stratified draws over 7 states.
        assert!(seen.iter().all(|n| (65..95).contains(n)), "{seen:?}");
    }

    #[test]
    fn one_depth_is_drawn_by_weight() {
        let base = shaken(Dream::untied(&tiny_config(), &Default::default()), 1);
        let mut options = options(vec![3.0, 0.0, 1.0]);
        let weights = |options: &SamplerOptions, step| {
            let frozen = Frozen { teacher: &base, base: base.clone() };
            Distillation { frozen, training: &[], held_out: &[], options }.weights(step)
        };
        assert_eq!(weights(&options, 0), [0.75, 0.0, 0.25]);
        options.one_depth = true;
        let drawn: Vec<_> = (0..400).map(|step| weights(&options, step)).collect();
        let first = drawn.iter().filter(|w| **w == [1.0]).count();
        assert!(drawn.iter().all(|w| *w == [1.0] || *w == [0.0, 0.0, 1.0]));
        // Mean 300, standard deviation 9.
        assert!((256..344).contains(&first), "{first}");
    }
}
