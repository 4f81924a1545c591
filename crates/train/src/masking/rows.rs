//! Draws masked training rows. Equal seeds and steps give equal rows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::window::Window;

/// A training row, some of whose tokens are masked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MaskedRow {
    /// The masked row, `[T]`.
    pub input: Vec<u32>,
    /// The original row, `[T]`.
    pub target: Vec<u32>,
    /// The positions whose tokens are predicted, ascending: all that are masked, unless its maker says otherwise.
    pub predicted: Vec<usize>,
}

impl MaskedRow {
    /// Masks the positions `masked` of `row` with `mask_id`.
    pub fn new(row: Vec<u32>, masked: Vec<usize>, mask_id: u32) -> Self {
        let mut input = row.clone();
        for &i in &masked {
            input[i] = mask_id;
        }
        Self { input, target: row, predicted: masked }
    }

    /// Equal weights of the predicted positions in the loss.
    pub fn even(&self) -> Vec<f64> {
        Window::default().weights(self.predicted.len()).collect()
    }
}

/// The random numbers of one step, for one purpose.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Draws a masking level in [0, 1) for each row of a batch: one from each of `batch` equal strata. Every batch thus covers
/// all levels.
pub(crate) fn levels(rng: &mut ChaCha8Rng, batch: usize) -> Vec<f64> {
    (0..batch).map(|row| (row as f64 + rng.random::<f64>()) / batch as f64).collect()
}

/// The number of masked positions of a row at this level, out of `maskable`: 1 at the level 0, and near 1
/// ⌈limit · maskable⌉. At a uniform level, the numbers are equally likely.
pub(crate) fn count(level: f64, maskable: usize, limit: f64) -> usize {
    let most = (limit * maskable as f64).ceil();
    (1 + (level * most) as usize).min(maskable)
}

/// Draws `count` of the positions `maskable`, ascending. Every subset is equally likely.
pub(crate) fn positions(
    rng: &mut ChaCha8Rng,
    maskable: impl IntoIterator<Item = usize>,
    count: usize,
) -> Vec<usize> {
    let mut positions: Vec<usize> = maskable.into_iter().collect();
    let count = count.min(positions.len());
    for i in 0..count {
        let j = rng.random_range(i..positions.len());
        positions.swap(i, j);
    }
    positions.truncate(count);
    positions.sort_unstable();
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rng: &mut ChaCha8Rng, batch: usize, maskable: usize, limit: f64) -> Vec<usize> {
        levels(rng, batch).into_iter().map(|level| count(level, maskable, limit)).collect()
    }

    #[test]
    fn counts_cover_every_level_of_every_batch() {
        for step in 0..50 {
            let all = counts(&mut stream(1, step), 47, 47, 1.0);
            assert_eq!(all, (1..=47).collect::<Vec<_>>());
        }
        let light = counts(&mut stream(1, 0), 64, 47, 0.6);
        assert_eq!((light.iter().min(), light.iter().max()), (Some(&1), Some(&29)));
    }

    #[test]
    fn counts_of_small_batches_are_uniform() {
        let mut seen = [0; 6];
        for step in 0..6000 {
            seen[counts(&mut stream(2, step), 1, 6, 1.0)[0] - 1] += 1;
        }
        // Mean 1000, standard deviation 29: a false alarm at five of them is one in 300,000.
        assert!(seen.iter().all(|n| (855..1145).contains(n)), "{seen:?}");
    }

    #[test]
    fn exactly_count_positions_are_masked_and_none_of_the_prompt() {
        let row: Vec<u32> = (10..20).collect();
        for count in 0..=9 {
            let masked = positions(&mut stream(3, count), 1..10, count as usize);
            let masked = MaskedRow::new(row.clone(), masked, 0);
            assert_eq!(masked.predicted.len(), count as usize);
            assert_eq!(masked.target, row);
            for (i, (&input, &target)) in masked.input.iter().zip(&row).enumerate() {
                assert_eq!(input, if masked.predicted.contains(&i) { 0 } else { target });
            }
            assert_eq!(masked.input[0], 10);
        }
    }

    #[test]
    fn every_position_is_masked_equally_often() {
        let mut seen = [0; 8];
        for i in 0..8000 {
            for position in positions(&mut stream(4, i), 0..8, 2) {
                seen[position] += 1;
            }
        }
        // Mean 2000, standard deviation 39.
        assert!(seen.iter().all(|n| (1805..2195).contains(n)), "{seen:?}");
    }
}
