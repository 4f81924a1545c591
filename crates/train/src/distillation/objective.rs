//! The distillation objective: the loss of a step and the validation.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;
use conjoint_trajectory::{Trajectory, digest};
use rand::RngExt;

use super::blocks::Blocks;
use super::chain::Chain;
use super::draw::Draw;
use super::figures::Figures;
use super::frozen::Frozen;
use super::lengths::ByLength;
use super::loss::{Comparison, loss};
use super::options::SamplerOptions;
use super::teachers::Teacher;
use crate::error::TrainError;
use crate::masking::{self, Window};
use crate::model::SamplerModule;
use crate::run::{Identity, Objective, identity};

/// Comparison of the layer's unrolled passes with the frozen model, at states along trajectories.
pub(crate) struct Distillation<'a, T> {
    pub frozen: Frozen<'a, T>,
    /// The frozen model on each further device that computes gradients.
    pub others: Vec<Frozen<'a, T>>,
    pub training: &'a [Trajectory],
    /// Those of `training`.
    pub by_length: ByLength<'a>,
    pub held_out: &'a [Trajectory],
    pub options: &'a SamplerOptions,
}

impl<'a, T: Teacher> Distillation<'a, T> {
    /// The frozen model on the device of `layer`.
    fn frozen(&self, layer: &SamplerModule) -> &Frozen<'a, T> {
        let device = layer.device();
        self.others.iter().find(|other| other.device() == device).unwrap_or(&self.frozen)
    }

    /// The chains of rows `rows` of step `step`'s batch, each of `depth` reveals.
    fn chains(
        &self,
        layer: &SamplerModule,
        step: u64,
        depth: usize,
        rows: Range<usize>,
    ) -> Result<Vec<Chain>, TrainError> {
        let (frozen, options) = (self.frozen(layer), self.options);
        let training = self.by_length.of_step(options.run.seed, step);
        Draw { frozen, layer, training, options }.chains(step, depth, rows)
    }

    /// The number of rows that the passes of this step compute, or `None` for all, and the terms of the loss. Every number
    /// of rows is combined with every temperature.
    fn conditions(&self, step: u64) -> (Option<usize>, Comparison) {
        let SamplerOptions { candidates, temperatures, comparison, .. } = self.options;
        let turns = candidates.len().max(1) as u64;
        let nth = |step: u64, count: usize| (step % count as u64) as usize;
        let rows = (!candidates.is_empty()).then(|| candidates[nth(step, candidates.len())]);
        let temperature = temperatures[nth(step / turns, temperatures.len())];
        (rows, Comparison { temperature, ..*comparison })
    }

    /// The weights of the depths in this step, which sum to 1.
    fn weights(&self, step: u64) -> Vec<f64> {
        let weights = &self.options.depth_weights;
        if self.options.all_depths {
            let sum: f64 = weights.iter().sum();
            return weights.iter().map(|w| w / sum).collect();
        }
        // N rows allow N − 1 passes.
        let passes = self.conditions(step).0.map_or(weights.len(), |rows| rows - 1);
        let weights = &weights[..passes.min(weights.len())];
        let sum: f64 = weights.iter().sum();
        let mut left = sum * masking::stream(self.options.run.seed ^ DEPTHS, step).random::<f64>();
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        let drawn = drawn.unwrap_or(0);
        (0..=drawn).map(|j| f64::from(u8::from(j == drawn))).collect()
    }
}

/// Joins numbers by commas, as in `8,16`.
fn listed(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Separates the random streams of the depths from those of the states.
const DEPTHS: u64 = 0x6465_7074_6873;
/// The number of validated states of each held-out trajectory.
const STATES: usize = 8;

impl<T: Teacher> Objective<SamplerModule> for Distillation<'_, T> {
    fn loss(
        &self,
        layer: &SamplerModule,
        step: u64,
        _: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError> {
        let weights = self.weights(step);
        let chains = self.chains(&layer.valid(), step, weights.len(), rows)?;
        let frozen = self.frozen(layer);
        let (candidates, comparison) = self.conditions(step);
        let batch = frozen.batch(&chains, &weights, self.options.window, candidates)?;
        let loss = loss(layer, frozen.head(), &batch.start, &batch.passes, comparison);
        Ok(loss.div_scalar(self.options.run.batch as f32))
    }

    fn validate(&self, averaged: &SamplerModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let weights = vec![1.0; self.options.depth_weights.len()];
        let mut figures = Figures::new(weights.len());
        for (i, trajectory) in self.held_out.iter().enumerate() {
            let states = trajectory.order.len() - 1;
            // Evenly spread states, with another offset in each trajectory.
            let chain = |s: usize| {
                let reveals = (s * states / STATES + i) % states;
                let blocks = Blocks(self.options.block_length);
                Chain::in_block(trajectory, blocks, reveals, weights.len(), self.frozen.mask_id())
            };
            let chains: Vec<_> = (0..STATES.min(states)).map(chain).collect();
            let candidates = self.options.candidates.iter().copied().max();
            let batch = self.frozen.batch(&chains, &weights, Window::default(), candidates)?;
            figures.add(averaged, self.frozen.head(), &batch);
        }
        Ok(figures.named())
    }

    fn save(&self, averaged: &SamplerModule) -> Result<(), TrainError> {
        let path = self.options.run.dir.join("model.safetensors");
        averaged.save(&path, self.options.precision, self.options.form())
    }

    fn identity(&self) -> Identity {
        let options = self.options;
        let rows = self.held_out.iter().chain(self.training);
        let mut identity = identity([
            ("kind", "sampler".to_owned()),
            ("seed", options.run.seed.to_string()),
            ("layers", options.layers.to_string()),
            ("depth_weights", format!("{:?}", options.depth_weights)),
            ("all_depths", options.all_depths.to_string()),
            ("window", format!("{:?}", options.window.rows)),
            ("window_share", options.window.share.to_string()),
            ("own_share", options.own_share.to_string()),
            ("temperature", listed(&options.temperatures)),
            ("lambda_teacher", options.comparison.teacher.to_string()),
            ("lambda_start", options.comparison.start.to_string()),
            ("held_out", options.held_out.to_string()),
            ("trajectories", digest(rows.flat_map(|row| [&row.tokens[..], &row.order]))),
            ("hidden_size", self.frozen.tables.config().hidden_size.to_string()),
        ]);
        // Defaults of newer options are omitted, so that runs of earlier versions can resume.
        let later = |options: &SamplerOptions| {
            [
                ("random_share", options.random_share.to_string()),
                ("start_gain", options.start_gain.to_string()),
                ("divergence", options.comparison.divergence.to_string()),
                ("early_power", options.early_power.to_string()),
                ("candidates", listed(&options.candidates)),
                ("block_length", listed(options.block_length.as_slice())),
            ]
        };
        for (option, default) in later(options).into_iter().zip(later(&SamplerOptions::default())) {
            if option != default {
                let (name, value) = option;
                identity.insert(name.into(), value);
            }
        }
        identity
    }

    fn tokens_per_step(&self) -> u64 {
        let positions: usize = self.training.iter().map(|t| t.tokens.len()).sum();
        (self.options.run.batch * positions / self.training.len().max(1)) as u64
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
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, DreamModule, Tables};
    use crate::run::RunOptions;

    fn options(depth_weights: Vec<f64>) -> SamplerOptions {
        let run = RunOptions { batch: 8, ..RunOptions::default() };
        SamplerOptions { depth_weights, run, ..SamplerOptions::default() }
    }

    /// An objective on one device, without training and validation data.
    fn on_processor<'a>(
        frozen: Frozen<'a, DreamModule>,
        training: &'a [Trajectory],
        options: &'a SamplerOptions,
    ) -> Distillation<'a, DreamModule> {
        let by_length = ByLength::new(training);
        Distillation { frozen, others: vec![], training, by_length, held_out: &[], options }
    }

    #[test]
    fn every_number_of_rows_is_combined_with_every_temperature() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let conditions = |options: &SamplerOptions| -> Vec<_> {
            let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
            let objective = on_processor(frozen, &[], options);
            let of =
                |(rows, comparison): (Option<usize>, Comparison)| (rows, comparison.temperature);
            (0..6).map(|step| of(objective.conditions(step))).collect()
        };
        let options = SamplerOptions {
            candidates: vec![4, 8],
            temperatures: vec![2.0, 1.0, 0.5],
            ..options(vec![1.0])
        };
        let rows = |n| Some(n);
        assert_eq!(
            conditions(&options),
            [
                (rows(4), 2.0),
                (rows(8), 2.0),
                (rows(4), 1.0),
                (rows(8), 1.0),
                (rows(4), 0.5),
                (rows(8), 0.5)
            ]
        );
        let whole = SamplerOptions { candidates: vec![], ..options };
        let temperatures = [2.0, 1.0, 0.5].map(|t| (None, t));
        assert_eq!(conditions(&whole)[..3], temperatures);
    }

    #[test]
    fn one_depth_is_drawn_by_its_weight() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let mut options = options(vec![3.0, 0.0, 1.0]);
        let weights = |options: &SamplerOptions, step| {
            let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
            on_processor(frozen, &[], options).weights(step)
        };
        options.all_depths = true;
        assert_eq!(weights(&options, 0), [0.75, 0.0, 0.25]);
        options.all_depths = false;
        let drawn: Vec<_> = (0..400).map(|step| weights(&options, step)).collect();
        let first = drawn.iter().filter(|w| **w == [1.0]).count();
        assert!(drawn.iter().all(|w| *w == [1.0] || *w == [0.0, 0.0, 1.0]));
        // Mean 300, standard deviation 9.
        assert!((256..344).contains(&first), "{first}");
        // Three rows allow two passes, and the second depth has weight 0.
        options.candidates = vec![3, 8];
        for step in 0..400 {
            let weights = weights(&options, step);
            assert!(weights == [1.0] || step % 2 == 1, "step {step}: {weights:?}");
        }
    }
}
