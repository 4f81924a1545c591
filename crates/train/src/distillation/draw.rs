//! Draws the chains that a step compares.

use std::ops::Range;

use conjoint_core::SeededStream;
use conjoint_trajectory::Trajectory;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::blocks::Blocks;
use super::chain::Chain;
use super::frozen::Frozen;
use super::options::{ROUNDING, SamplerOptions};
use super::states::{randomly_masked_states, sampled_states};
use super::teachers::Teacher;
use crate::error::TrainError;
use crate::masking;
use crate::model::SamplerModule;

/// The sources of a batch's chains.
pub(crate) struct Draw<'a, T> {
    pub frozen: &'a Frozen<'a, T>,
    pub layer: &'a SamplerModule,
    /// Trajectories of one length.
    pub training: &'a [&'a Trajectory],
    pub options: &'a SamplerOptions,
}

impl<T: Teacher> Draw<'_, T> {
    /// Draws the chains of rows `rows` of step `step`'s batch, each of `depth` reveals. The masked share of the first
    /// canvases is stratified over the batch.
    pub fn chains(
        &self,
        step: u64,
        depth: usize,
        rows: Range<usize>,
    ) -> Result<Vec<Chain>, TrainError> {
        let Self { frozen, layer, options, .. } = *self;
        let (seed, batch, mask) = (options.run.seed, options.run.batch, frozen.mask_id());
        let blocks = Blocks(options.block_length);
        let stream = |row: usize| step * batch as u64 + row as u64;
        let text = |row: usize| {
            let mut rng = masking::stream(seed, stream(row));
            let trajectory = self.training[rng.random_range(0..self.training.len())];
            // The kind of a row is the same in every step. Its stratum rotates, so that each kind covers all strata.
            let stratum = (row as u64 + step) % batch as u64;
            let share = (stratum as f64 + rng.random::<f64>()) / batch as f64;
            (trajectory, share, rng)
        };
        let along = |row: usize, depth| {
            let (trajectory, share, _) = text(row);
            // At least one masked row must remain at depth 1.
            let states = trajectory.order.len() - 1;
            let share = share.powf(options.early_power);
            let reveals = ((share * states as f64) as usize).min(states - 1);
            Chain::in_block(trajectory, blocks, reveals, depth, mask)
        };
        let of = |kind: Kind| rows.clone().filter(move |&row| Kind::of(row, options) == kind);
        let mut chains: Vec<_> = of(Kind::Along).map(|row| along(row, depth)).collect();
        let (mut texts, mut starts) = (Vec::new(), Vec::new());
        for row in of(Kind::Random) {
            let (trajectory, share, mut rng) = text(row);
            let open = blocks.draw(&mut rng, trajectory);
            let (free, later): (Vec<_>, Vec<_>) = trajectory
                .free()
                .into_iter()
                .filter(|&position| position >= open.start)
                .partition(|&position| position < open.end);
            let mut masked = at_random(&mut rng, free, share);
            masked.extend(later);
            starts.push(Chain::masked_at(trajectory, masked, mask).within(&open));
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
}

/// The origin of the states of a row of the batch.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// From a trajectory.
    Along,
    /// From a text masked at random.
    Random,
    /// From a trajectory, continued by the layer's own draws.
    Own,
}

impl Kind {
    /// The kind of row `row`. Rows of each kind are spread over the batch, and thus over the stages of decoding.
    fn of(row: usize, options: &SamplerOptions) -> Self {
        // The rank of item i among a share of all items that is spread evenly, or `None` if i is not among them.
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

/// Draws each of these positions with probability `share`, but at least two, so that a masked row remains at depth 1.
fn at_random(rng: &mut ChaCha8Rng, maskable: Vec<usize>, share: f64) -> Vec<usize> {
    let count = maskable.iter().filter(|_| rng.random::<f64>() < share).count().max(2);
    masking::positions(rng, maskable, count)
}

/// Separates the random streams of the layer's own draws from those of the states.
const OWN: u64 = 0x006f_776e;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::testing::trajectories;
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, DreamModule, Tables};
    use crate::run::RunOptions;

    fn options(depth_weights: Vec<f64>) -> SamplerOptions {
        let run = RunOptions { batch: 8, ..RunOptions::default() };
        SamplerOptions { depth_weights, run, ..SamplerOptions::default() }
    }

    #[test]
    fn states_are_stratified_and_leave_a_masked_row() {
        let options = options(vec![1.0]);
        let (base, trajectories) = (
            shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1),
            trajectories(10),
        );
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let training: Vec<_> = trajectories[2..].iter().collect();
        let layer = SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default());
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let mut seen = [0; 7];
        for step in 0..70 {
            let reveals = |rows| -> Vec<_> {
                let chains = draw.chains(step, 1, rows).unwrap();
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
    fn a_power_above_one_starts_more_chains_early() {
        let options = SamplerOptions { early_power: 2.0, ..options(vec![1.0]) };
        let (base, trajectories) = (
            shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1),
            trajectories(10),
        );
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let layer = SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default());
        let training: Vec<_> = trajectories.iter().collect();
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let mut seen = [0.0; 7];
        for step in 0..70 {
            for chain in draw.chains(step, 1, 0..8).unwrap() {
                seen[8 - chain.masked(0).len()] += 1.0 / 560.0;
            }
        }
        // u² < k / 7 with probability √(k / 7). The standard deviation of 560 stratified draws is below 0.021.
        for (k, share) in seen.into_iter().enumerate() {
            let expected = ((k + 1) as f64 / 7.0).sqrt() - (k as f64 / 7.0).sqrt();
            assert!((share - expected).abs() < 0.03, "{k}: {share} {expected}");
        }
    }

    #[test]
    fn sequences_of_the_layer_itself_are_spread_over_the_batch() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default()), 2);
        let mut options = options(vec![1.0; 3]);
        options.own_share = 0.25;
        let trajectories = trajectories(10);
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let training: Vec<_> = trajectories.iter().collect();
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let is_given = |chain: &Chain| {
            let starts = |t: &&Trajectory| {
                chain.canvas(3).iter().zip(&t.tokens).all(|(&a, &b)| a == b || a == 6)
            };
            trajectories.iter().any(|t| starts(&t))
        };
        let mut strayed = 0;
        for step in 0..20 {
            let whole = draw.chains(step, 3, 0..8).unwrap();
            assert!(whole[..6].iter().all(is_given));
            strayed += whole[6..].iter().filter(|chain| !is_given(chain)).count();
            // The layer draws rows 3 and 7, in any part of the batch.
            let part = draw.chains(step, 3, 7..8).unwrap();
            assert_eq!(part[0].canvas(3), whole[7].canvas(3));
        }
        assert!(strayed > 20, "{strayed} of 40");
    }

    #[test]
    fn the_stratum_determines_how_much_of_a_random_row_is_masked() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let layer = SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default());
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
        let training: Vec<_> = trajectories.iter().collect();
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let mut masked = [0; 8];
        for step in 0..50 {
            let whole = draw.chains(step, 2, 0..8).unwrap();
            for (row, chain) in whole.iter().enumerate() {
                let n = chain.masked(0).len();
                assert!((2..=6).contains(&n) && chain.masked(1).len() == n - 1);
                assert!(chain.canvas(0)[..2].iter().all(|&id| id != 6));
                masked[(row + step as usize) % 8] += n;
            }
            let part = draw.chains(step, 2, 3..5).unwrap();
            assert_eq!(part[0].canvas(1), whole[3].canvas(1));
            assert_eq!(part[1].canvas(2), whole[4].canvas(2));
        }
        // 6 t positions are masked on average, t uniform on (s, s + 1) / 8; from stratum 4 on, the minimum of two rarely
        // applies. The standard deviation of a row is at most 1.24, and 0.18 for the mean of 50; the bound is five times that.
        for (stratum, &sum) in masked.iter().enumerate().skip(4) {
            let (mean, expected) = (f64::from(sum as u32) / 50.0, 0.75 * (stratum as f64 + 0.5));
            assert!((mean - expected).abs() < 0.9, "stratum {stratum}: {mean}");
        }
    }

    #[test]
    fn in_blocks_every_masked_row_is_in_the_open_block() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default()), 2);
        let mut options = options(vec![1.0; 5]);
        (options.own_share, options.random_share) = (0.25, 0.5);
        options.block_length = Some(4);
        let in_blocks = |t: Trajectory| Trajectory { order: vec![2, 0, 3, 1, 7, 4, 6, 5], ..t };
        let trajectories: Vec<_> = trajectories(10).into_iter().map(in_blocks).collect();
        let training: Vec<_> = trajectories.iter().collect();
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let mut blocks = [0; 2];
        for step in 0..20 {
            for chain in draw.chains(step, 5, 0..8).unwrap() {
                let first = chain.masked(0);
                let block = first[0] / 4;
                blocks[block] += 1;
                assert!((2..=4).contains(&first.len()), "{first:?}");
                let canvas = chain.canvas(0);
                // What is before the block is known, and what is behind it is masked.
                assert!(canvas[..block * 4].iter().all(|&id| id != 6));
                assert!(canvas[block * 4 + 4..].iter().all(|&id| id == 6));
                for depth in 0..=5 {
                    let masked = chain.masked(depth);
                    assert_eq!(masked.len(), first.len().saturating_sub(depth));
                    assert!(masked.iter().all(|position| position / 4 == block));
                    assert!(masked.iter().all(|&position| chain.canvas(depth)[position] == 6));
                }
            }
        }
        assert!(blocks.iter().all(|&n| n > 60), "{blocks:?} of 160");
    }

    /// Positions 0, 3 and 7 are given.
    #[test]
    fn given_positions_are_never_masked() {
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Default::default()), 1);
        let layer = shaken(SamplerModule::new(&DreamConfig::tiny(), 1, &Default::default()), 2);
        let mut options = options(vec![1.0; 3]);
        (options.own_share, options.random_share) = (0.25, 0.5);
        let infilled =
            |t: Trajectory| Trajectory { prompt_len: 1, order: vec![5, 1, 6, 2, 4], ..t };
        let trajectories: Vec<_> = trajectories(10).into_iter().map(infilled).collect();
        let training: Vec<_> = trajectories.iter().collect();
        let frozen = Frozen { tables: Tables::of(&base), teacher: &base };
        let draw = Draw { frozen: &frozen, layer: &layer, training: &training, options: &options };
        let mut most = 0;
        for step in 0..20 {
            for chain in draw.chains(step, 3, 0..8).unwrap() {
                let masked = chain.masked(0);
                assert!((2..=5).contains(&masked.len()));
                most = most.max(masked.len());
                for depth in 0..=3 {
                    let ids = chain.canvas(depth).iter().enumerate().filter(|(_, id)| **id == 6);
                    let mut masked = chain.masked(depth).to_vec();
                    masked.sort_unstable();
                    assert_eq!(ids.map(|(position, _)| position).collect::<Vec<_>>(), masked);
                    assert!(masked.iter().all(|position| ![0, 3, 7].contains(position)));
                }
            }
        }
        assert_eq!(most, 5);
    }
}
