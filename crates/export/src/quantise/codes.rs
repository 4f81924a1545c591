//! Rows of weights as integer codes with scales. Codes are the nearest, and the even one of two that are equally near.

/// Weights that share a scale of 4-bit codes.
pub(crate) const BLOCK: usize = 128;

/// In how many steps of its scale the largest weight of a block may lie. Beyond 8 it is cut, which makes the steps of all others
/// smaller.
const REACHES: [f32; 5] = [8.0, 7.5, 7.0, 8.5, 9.0];

/// 1.5 · 2²³: a float32 of this size has a step of 1. So adding it rounds, and leaves the integer, in two's complement, in the
/// lowest bits.
const ROUNDS: f32 = 12_582_912.0;

/// Appends the codes of a row, from −127 to 127 in a byte each, and gives its scale: w ≈ code · scale. The largest weight is
/// ±127; a row of zeros has the scale 0. Nothing if a weight is not finite.
pub(crate) fn int8(row: &[f32], codes: &mut Vec<u8>) -> Option<f32> {
    let scale = size(row)? / 127.0;
    codes.extend(row.iter().map(|&w| byte(nearest(w, scale).clamp(-127.0, 127.0))));
    Some(scale)
}

/// Appends the codes of a row, two a byte with the first in the lower half, and the scale of each block of [`BLOCK`]:
/// w ≈ (code − 8) · scale. The scale is that of [`REACHES`] with the least sum of squared errors; it has the opposite sign of the
/// largest weight, because the codes reach further down. The last block is filled with zeros. Nothing if a weight is not finite.
pub(crate) fn int4(row: &[f32], codes: &mut Vec<u8>, scales: &mut Vec<f32>) -> Option<()> {
    let mut steps = [8; BLOCK];
    for block in row.chunks(BLOCK) {
        let size = size(block)?;
        let largest = if block.contains(&size) { size } else { -size };
        let mut best = (f32::INFINITY, -largest / REACHES[0]);
        for scale in REACHES.map(|reach| -largest / reach) {
            let error = block.iter().map(|weight| (weight - four(*weight, scale) * scale).powi(2));
            let error = error.sum();
            if error < best.0 {
                best = (error, scale);
            }
        }
        let (_, scale) = best;
        steps.fill(8);
        for (step, &weight) in steps.iter_mut().zip(block) {
            *step = byte(four(weight, scale)).wrapping_add(8);
        }
        codes.extend(steps.as_chunks().0.iter().map(|[low, high]| low | high << 4));
        scales.push(scale);
    }
    Some(())
}

/// A weight in whole steps of `scale`, from −8 to 7.
fn four(weight: f32, scale: f32) -> f32 {
    nearest(weight, scale).clamp(-8.0, 7.0)
}

/// A weight in whole steps of `scale`.
fn nearest(weight: f32, scale: f32) -> f32 {
    let steps = if scale == 0.0 { 0.0 } else { weight / scale };
    (steps + ROUNDS) - ROUNDS
}

/// A whole number as a signed byte.
fn byte(steps: f32) -> u8 {
    (steps + ROUNDS).to_bits() as u8
}

/// The size of the largest weight, if all are finite. Without its sign, the bits of a float32 have the order of its size.
fn size(weights: &[f32]) -> Option<f32> {
    let bits = weights.iter().map(|weight| weight.abs().to_bits()).max()?;
    Some(f32::from_bits(bits)).filter(|size| size.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eight(row: &[f32]) -> (Vec<i8>, f32) {
        let mut codes = Vec::new();
        let scale = int8(row, &mut codes).unwrap();
        (codes.into_iter().map(|code| code as i8).collect(), scale)
    }

    fn blocks(row: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let (mut bytes, mut scales) = (Vec::new(), Vec::new());
        int4(row, &mut bytes, &mut scales).unwrap();
        (bytes.into_iter().flat_map(|byte| [byte & 15, byte >> 4]).collect(), scales)
    }

    #[test]
    fn eight_bits_are_the_nearest_even_steps_of_the_largest() {
        // Steps of 0.5, whole and halved.
        let row = [63.5, -63.5, 0.5, 0.25, 0.75, -0.25, -0.75, 0.26, 0.0, -0.0];
        let (codes, scale) = eight(&row);
        assert_eq!(scale, 0.5);
        assert_eq!(codes, [127, -127, 1, 0, 2, 0, -2, 1, 0, 0]);
    }

    #[test]
    fn four_bits_are_the_nearest_even_steps_of_a_block() {
        // Whole steps of −0.5 and of 0.25, which no other scale meets.
        let mut row = vec![4.0, -3.5, 3.5, 0.5, -0.5, 1.0, -1.5, 0.0];
        row.resize(BLOCK, 0.0);
        row.extend([-2.0, 1.0, 1.75]);
        let (codes, scales) = blocks(&row);
        assert_eq!(scales, [-0.5, 0.25]);
        assert_eq!(codes[..8], [0, 15, 1, 7, 9, 6, 11, 8]);
        assert_eq!(codes[BLOCK..BLOCK + 4], [0, 12, 15, 8]);
        assert_eq!(codes.len(), 2 * BLOCK, "the last block is filled");
        assert!(codes[BLOCK + 3..].iter().all(|&code| code == 8));
        assert_eq!([2.5, 3.5, -2.5].map(|w| nearest(w, 1.0)), [2.0, 4.0, -2.0]);
    }

    /// One large weight among many small ones is cut, and the opposite of the largest is cut or makes the steps larger: whatever
    /// moves the block least.
    #[test]
    fn the_scale_of_a_block_is_the_best_of_five() {
        let mut outlier = vec![1.0; BLOCK];
        outlier[5] = 7.9;
        let mut opposite = vec![0.0; BLOCK];
        (opposite[0], opposite[9]) = (-3.0, 3.0);
        let spread: Vec<f32> = (0..BLOCK).map(|i| ((i * 37) % BLOCK) as f32 - 63.3).collect();
        for (block, largest) in [(outlier, 7.9), (opposite, 3.0), (spread, 63.7)] {
            let (codes, scales) = blocks(&block);
            let error = |scale: f32| -> f32 {
                let cut = |w: f32| (w / scale).round_ties_even().clamp(-8.0, 7.0) * scale;
                block.iter().map(|&w| (w - cut(w)).powi(2)).sum()
            };
            let own = block.iter().zip(&codes);
            let own = own.map(|(w, &code)| (w - (f32::from(code) - 8.0) * scales[0]).powi(2));
            let own: f32 = own.sum();
            let least =
                REACHES.map(|reach| error(-largest / reach)).into_iter().fold(9e9, f32::min);
            assert!((own - least).abs() <= 1e-5 * least, "{own} {least}");
        }
    }

    #[test]
    fn zeros_and_the_smallest_numbers_stay_finite() {
        assert_eq!(eight(&[0.0; 3]), (vec![0; 3], 0.0));
        assert_eq!(blocks(&[0.0; 3]).1, [-0.0]);
        // Its step is no float32 any more.
        assert_eq!(eight(&[1e-45, 0.0]), (vec![0; 2], 0.0));
        let (codes, scale) = eight(&[2e-43, -2e-43, 1e-43]);
        assert!(scale > 0.0 && codes[0] == -codes[1] && codes[0] > 100, "{codes:?}");
    }

    #[test]
    fn weights_that_are_no_numbers_have_no_codes() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(int8(&[1.0, broken, 2.0], &mut Vec::new()), None);
            assert_eq!(int4(&[1.0, broken], &mut Vec::new(), &mut Vec::new()), None);
        }
        // Their squares are infinite, and they have codes all the same.
        assert!(int8(&[f32::MAX, f32::MIN], &mut Vec::new()).is_some());
        assert_eq!(blocks(&[f32::MAX, f32::MAX / 2.0]).0[..3], [0, 4, 8]);
    }

    /// No weight is further from its code than half a step, but where it is cut.
    #[test]
    fn no_weight_moves_further_than_half_a_step() {
        let row: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
        let (codes, scale) = eight(&row);
        for (weight, code) in row.iter().zip(codes) {
            assert!((weight - f32::from(code) * scale).abs() <= 0.5001 * scale);
        }
        let (codes, scales) = blocks(&row);
        for (i, weight) in row.iter().enumerate() {
            let scale = scales[i / BLOCK];
            let cut = !(-8.5..=7.5).contains(&(weight / scale));
            let steps = if cut { 2.0001 } else { 0.5001 };
            let code = f32::from(codes[i]) - 8.0;
            assert!((weight - code * scale).abs() <= steps * scale.abs(), "{i}");
        }
    }
}
