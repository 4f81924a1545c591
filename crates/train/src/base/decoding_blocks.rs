//! Rows that are masked as in decoding in blocks.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::masking::{self, MaskedRow};

/// Masks `row` as it is at some time of decoding in blocks of `length` positions: what precedes a block is visible, what
/// follows it is masked, and at the level `level` a part of the block is masked. Every block of the positions `maskable`
/// is equally likely. Only tokens of the block are predicted.
pub(super) fn mask_block(
    rng: &mut ChaCha8Rng,
    row: Vec<u32>,
    maskable: Range<usize>,
    (length, level): (usize, f64),
    mask_id: u32,
) -> MaskedRow {
    let block = rng.random_range(0..maskable.len().div_ceil(length));
    let start = maskable.start + block * length;
    let end = maskable.end.min(start + length);
    let count = masking::count(level, end - start, 1.0);
    let predicted = masking::positions(rng, start..end, count);
    let masked = predicted.iter().copied().chain(end..maskable.end).collect();
    MaskedRow { predicted, ..MaskedRow::new(row, masked, mask_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_precedes_a_block_is_visible_and_what_follows_is_masked() {
        let row: Vec<u32> = (10..23).collect();
        let mut seen = [[0; 5]; 3];
        for number in 0..3000 {
            let mut rng = masking::stream(1, number);
            let level = rng.random();
            // Blocks 2..6, 6..10 and 10..12.
            let masked = mask_block(&mut rng, row.clone(), 2..12, (4, level), 0);
            let positions = &masked.predicted;
            assert_eq!(masked.target, row);
            let block = (positions[0] - 2) / 4;
            let (start, end) = (2 + block * 4, 12.min(6 + block * 4));
            assert!(positions.iter().all(|i| (start..end).contains(i)), "{positions:?}");
            for (i, &id) in masked.input.iter().enumerate() {
                let hidden = positions.contains(&i) || (end..12).contains(&i);
                assert_eq!(id, if hidden { 0 } else { row[i] }, "{i}: {masked:?}");
            }
            seen[block][positions.len()] += 1;
        }
        // 250 of each number of positions in the first two blocks, 500 in the last; standard deviations of 15 and 20.
        let expected = |block: usize, count| match (block, count) {
            (2, 1 | 2) => 500,
            (0 | 1, 1..=4) => 250,
            _ => 0,
        };
        for (block, counts) in seen.iter().enumerate() {
            for (count, &n) in counts.iter().enumerate() {
                assert!(i32::abs_diff(n, expected(block, count)) < 100, "{seen:?}");
            }
        }
    }
}
