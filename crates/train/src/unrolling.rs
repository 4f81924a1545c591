//! The distillation objective: drawing states along trajectories, their loss, and validation.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;
use conjoint_core::SeededStream;
use conjoint_trajectory::{Trajectory, digest};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::TrainError;
use crate::chain::{Chain, Frozen};
use crate::distill::{self, Comparison};
use crate::distillation::{ROUNDING, SamplerOptions};
use crate::figures::Figures;
use crate::identity::{Identity, identity};
use crate::masking;
use crate::sampler::SamplerModule;
use crate::teacher::Teacher;
use crate::trainer::Objective;
use crate::walk::{randomly_masked_states, sampled_states};
use crate::window::Window;

/// States along trajectories, and how the layer's unrolled passes compare there.
pub(crate) struct Distillation<'a, T> {
    pub frozen: Frozen<'a, T>,
    /// The same on the other devices that gradients are computed on.
    pub others: Vec<Frozen<'a, T>>,
    pub training: &'a [Trajectory],
    pub held_out: &'a [Trajectory],
    pub options: &'a SamplerOptions,
}

impl<'a, T: Teacher> Distillation<'a, T> {
    /// The frozen model on the device of `layer`.
    fn frozen(&self, layer: &SamplerModule) -> &Frozen<'a, T> {
        let device = layer.device();
        self.others.iter().find(|other| other.device() == device).unwrap_or(&self.frozen)
    }

    /// The chains of rows `rows` of step `step`'s batch, `depth` deep: how much of each is masked at its start is
    /// stratified over the batch. Some are drawn by `layer` itself, and some masked at random.
    fn chains(
        &self,
        layer: &SamplerModule,
        step: u64,
        depth: usize,
        rows: Range<usize>,
    ) -> Result<Vec<Chain>, TrainError> {
        let (frozen, options) = (self.frozen(layer), self.options);
        let (seed, batch, mask) = (options.run.seed, options.run.batch, frozen.mask_id());
        let stream = |row: usize| step * batch as u64 + row as u64;
        let text = |row: usize| {
            let mut rng = masking::stream(seed, stream(row));
            let trajectory = &self.training[rng.random_range(0..self.training.len())];
            // Rows of one kind are the same in every step, and should not stay in their strata.
            let stratum = (row as u64 + step) % batch as u64;
            let share = (stratum as f64 + rng.random::<f64>()) / batch as f64;
            (trajectory, share, rng)
        };
        let along = |row: usize, depth| {
            let (trajectory, share, _) = text(row);
            // At least one row must be left to compare at depth 1.
            let states = trajectory.order.len() - 1;
            let share = share.powf(options.early_power);
            let reveals = ((share * states as f64) as usize).min(states - 1);
            Chain::along(trajectory, reveals, depth, mask)
        };
        let of = |kind: Kind| rows.clone().filter(move |&row| Kind::of(row, options) == kind);
        let mut chains: Vec<_> = of(Kind::Along).map(|row| along(row, depth)).collect();
        let (mut texts, mut starts) = (Vec::new(), Vec::new());
        for row in of(Kind::Random) {
            let (trajectory, share, mut rng) = text(row);
            starts.push(Chain::masked_at(trajectory, at_random(&mut rng, trajectory, share), mask));
            texts.push(trajectory);
        }
        if !starts.is_empty() {
            chains.extend(randomly_masked_states(frozen, &texts, starts, depth)?);
        }
        let own_stream = |row| SeededStream::new(seed ^ OWN, stream(row));
        let (starts, mut streams): (Vec<_>, Vec<_>) =
            of(Kind::Own).map(|row| (along(row, 0), own_stream(row))).unzip();
        if !starts.is_empty() {
            chains.extend(sampled_states(frozen, layer, starts, depth, &mut streams)?);
        }
        Ok(chains)
    }

    /// How many rows the passes of this step compute, if not all, and how the models are compared. Every number of rows
    /// meets every temperature.
    fn conditions(&self, step: u64) -> (Option<usize>, Comparison) {
        let SamplerOptions { candidates, temperatures, comparison, .. } = self.options;
        let turns = candidates.len().max(1) as u64;
        let nth = |step: u64, count: usize| (step % count as u64) as usize;
        let rows = (!candidates.is_empty()).then(|| candidates[nth(step, candidates.len())]);
        let temperature = temperatures[nth(step / turns, temperatures.len())];
        (rows, Comparison { temperature, ..*comparison })
    }

    /// The depths' weights in this step, with sum 1.
    fn weights(&self, step: u64) -> Vec<f64> {
        let weights = &self.options.depth_weights;
        let sum: f64 = weights.iter().sum();
        if self.options.all_depths {
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

/// Where the states of a row of the batch come from.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// From a trajectory.
    Along,
    /// From a text masked at random.
    Random,
    /// From a trajectory, and then by the layer's own draws.
    Own,
}

impl Kind {
    /// Rows of each kind lie spread over the batch, and so over the stages of decoding.
    fn of(row: usize, options: &SamplerOptions) -> Self {
        // Which of a share of all items, spread evenly, item i is, if it is one of them.
        let nth = |share: f64, i: usize| {
            let before = |items: usize| (items as f64 * share + ROUNDING).floor() as usize;
            (before(i + 1) > before(i)).then_some(before(i))
        };
        let (own, random) = (options.own_share, options.random_share);
        match nth(own + random, row).map(|i| nth(own / (own + random), i)) {
            None => Self::Along,
            Some(None) => Self::Random,
            Some(Some(_)) => Self::Own,
        }
    }
}

/// Such as `8,16`.
fn listed(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Each position after the prompt with probability `share`; two at least, so that a row is left to compare at depth 1.
fn at_random(rng: &mut ChaCha8Rng, trajectory: &Trajectory, share: f64) -> Vec<usize> {
    let maskable = trajectory.prompt_len..trajectory.tokens.len();
    let count = maskable.clone().filter(|_| rng.random::<f64>() < share).count().max(2);
    masking::positions(rng, maskable, count)
}

/// Set the random streams of the depths and of the layer's own draws apart from the states'.
const DEPTHS: u64 = 0x6465_7074_6873;
const OWN: u64 = 0x006f_776e;
/// States of each held-out trajectory that are validated on.
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
        let loss = distill::loss(layer, frozen.head(), &batch.start, &batch.passes, comparison);
        Ok(loss.div_scalar(self.options.run.batch as f32))
    }

    fn validate(&self, averaged: &SamplerModule) -> Result<BTreeMap<String, f64>, TrainError> {
        let weights = vec![1.0; self.options.depth_weights.len()];
        let mut figures = Figures::new(weights.len());
        for (i, trajectory) in self.held_out.iter().enumerate() {
            let states = trajectory.order.len() - 1;
            // Evenly spread states, elsewhere in each trajectory.
            let chain = |s: usize| {
                let reveals = (s * states / STATES + i) % states;
                Chain::along(trajectory, reveals, weights.len(), self.frozen.mask_id())
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
        // Runs from before there were these go on.
        let later = |options: &SamplerOptions| {
            [
                ("random_share", options.random_share.to_string()),
                ("start_gain", options.start_gain.to_string()),
                ("divergence", options.comparison.divergence.to_string()),
                ("early_power", options.early_power.to_string()),
                ("candidates", listed(&options.candidates)),
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
    use crate::dream::DreamModule;
    use crate::options::RunOptions;
    use crate::tables::Tables;
    use crate::testing::{shaken, tiny_config, trajectories};

    fn options(depth_weights: Vec<f64>) -> SamplerOptions {
        let run = RunOptions { batch: 8, ..RunOptions::default() };
        SamplerOptions { depth_weights, run, ..SamplerOptions::default() }
    }

    /// With one device and nothing held out.
    fn on_processor<'a>(
        frozen: Frozen<'a, DreamModule>,
        training: &'a [Trajectory],
        options: &'a SamplerOptions,
    ) -> Distillation<'a, DreamModule> {
        Distillation { frozen, others: vec![], training, held_out: &[], options }
    }

    #[test]
    fn states_are_spread_and_leave_something_to_compare() {
        let options = options(vec![1.0]);
        let (base, trajectories) =
            (shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1), trajectories(10));
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let (held_out, training) = trajectories.split_at(2);
        let layer = SamplerModule::new(&tiny_config(), 1, &Default::default());
        let objective = Distillation { held_out, ..on_processor(frozen, training, &options) };
        let mut seen = [0; 7];
        for step in 0..70 {
            let reveals = |rows| -> Vec<_> {
                let chains = objective.chains(&layer, step, 1, rows).unwrap();
                chains.iter().map(|chain| 8 - chain.masked(0).len()).collect()
            };
            let whole = reveals(0..8);
            let mut sorted = whole.clone();
            sorted.rotate_right(step as usize % 8);
            assert!(sorted.is_sorted(), "{step}: {whole:?}");
            whole.iter().for_each(|&k| seen[k] += 1);
            assert_eq!(reveals(3..5), whole[3..5]);
        }
        // 560 stratified draws over 7 states.
        assert!(seen.iter().all(|n| (65..95).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_power_begins_more_chains_early() {
        let options = SamplerOptions { early_power: 2.0, ..options(vec![1.0]) };
        let (base, trajectories) =
            (shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1), trajectories(10));
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let layer = SamplerModule::new(&tiny_config(), 1, &Default::default());
        let objective = on_processor(frozen, &trajectories, &options);
        let mut seen = [0.0; 7];
        for step in 0..70 {
            for chain in objective.chains(&layer, step, 1, 0..8).unwrap() {
                seen[8 - chain.masked(0).len()] += 1.0 / 560.0;
            }
        }
        // u² < k / 7 with probability √(k / 7). 560 draws: a standard deviation of at most 0.021, and less for the strata.
        for (k, share) in seen.into_iter().enumerate() {
            let expected = ((k + 1) as f64 / 7.0).sqrt() - (k as f64 / 7.0).sqrt();
            assert!((share - expected).abs() < 0.03, "{k}: {share} {expected}");
        }
    }

    #[test]
    fn every_number_of_rows_meets_every_temperature() {
        let base = shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1);
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
    fn one_depth_is_drawn_by_weight() {
        let base = shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1);
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
    }

    #[test]
    fn the_layers_own_sequences_are_spread_over_the_batch() {
        let base = shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1);
        let layer = shaken(SamplerModule::new(&tiny_config(), 1, &Default::default()), 2);
        let mut options = options(vec![1.0; 3]);
        options.own_share = 0.25;
        let trajectories = trajectories(10);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let objective = on_processor(frozen, &trajectories, &options);
        let text = |chain: &Chain| {
            let starts = |t: &&Trajectory| {
                chain.canvas(3).iter().zip(&t.tokens).all(|(&a, &b)| a == b || a == 6)
            };
            trajectories.iter().any(|t| starts(&t))
        };
        let mut strayed = 0;
        for step in 0..20 {
            let whole = objective.chains(&layer, step, 3, 0..8).unwrap();
            assert!(whole[..6].iter().all(text));
            strayed += whole[6..].iter().filter(|chain| !text(chain)).count();
            // Rows 3 and 7 are the layer's own, whichever worker has them.
            let part = objective.chains(&layer, step, 3, 7..8).unwrap();
            assert_eq!(part[0].canvas(3), whole[7].canvas(3));
        }
        assert!(strayed > 20, "{strayed} of 40");
    }

    #[test]
    fn rows_masked_at_random_are_masked_as_much_as_their_stratum_says() {
        let base = shaken(DreamModule::untied(&tiny_config(), &Default::default()), 1);
        let layer = SamplerModule::new(&tiny_config(), 1, &Default::default());
        let mut options = options(vec![1.0; 2]);
        (options.own_share, options.random_share) = (0.25, 0.5);
        let kinds: Vec<_> = (0..8).map(|row| Kind::of(row, &options)).collect();
        let count = |kind| kinds.iter().filter(|&&k| k == kind).count();
        assert_eq!([Kind::Along, Kind::Random, Kind::Own].map(count), [2, 4, 2]);
        for (own, random, expected) in [(0.7, 0.2, [1, 2, 7]), (0.7, 0.3, [0, 3, 7])] {
            (options.own_share, options.random_share) = (own, random);
            assert!(options.validate().is_ok());
            let count = |kind| (0..10).filter(|&row| Kind::of(row, &options) == kind).count();
            assert_eq!([Kind::Along, Kind::Random, Kind::Own].map(count), expected);
        }
        (options.own_share, options.random_share) = (0.0, 1.0);
        let trajectories: Vec<_> = trajectories(10)
            .into_iter()
            .map(|t| Trajectory { prompt_len: 2, order: (2..8).collect(), ..t })
            .collect();
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let objective = on_processor(frozen, &trajectories, &options);
        let mut masked = [0; 8];
        for step in 0..50 {
            let whole = objective.chains(&layer, step, 2, 0..8).unwrap();
            for (row, chain) in whole.iter().enumerate() {
                let n = chain.masked(0).len();
                assert!((2..=6).contains(&n) && chain.masked(1).len() == n - 1);
                assert!(chain.canvas(0)[..2].iter().all(|&id| id != 6));
                masked[(row + step as usize) % 8] += n;
            }
            let part = objective.chains(&layer, step, 2, 3..5).unwrap();
            assert_eq!(part[0].canvas(1), whole[3].canvas(1));
            assert_eq!(part[1].canvas(2), whole[4].canvas(2));
        }
        // 6 t masked on average, t uniform on (s, s + 1) / 8, where at least two seldom matters: 50 rows
        // with a standard deviation of at most 1.24 each, 0.18 of the mean; five of them.
        for (stratum, &sum) in masked.iter().enumerate().skip(4) {
            let (mean, expected) = (f64::from(sum as u32) / 50.0, 0.75 * (stratum as f64 + 0.5));
            assert!((mean - expected).abs() < 0.9, "stratum {stratum}: {mean}");
        }
    }
}
