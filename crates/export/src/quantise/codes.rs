//! Rows of weights as integer codes with scales. Codes are rounded to the nearest integer, ties to even.

/// Number of weights that share a scale of 4-bit codes.
pub(crate) const BLOCK: usize = 128;

/// Candidates for the size of a block's largest weight, in steps of the scale. A size above the largest code
/// cuts that weight, and makes the steps of all others smaller.
const SIZES_IN_STEPS: [f32; 5] = [8.0, 7.5, 7.0, 8.5, 9.0];

/// 1.5 · 2²³. A float32 of this size has a step of 1. So adding it rounds to an integer, which is in the lowest
/// bits in two's complement.
const ROUNDING: f32 = 12_582_912.0;

/// Appends the codes of a row, from −127 to 127 in one byte each, and returns the scale: w ≈ code · scale.
///
/// The code of the largest weight is ±127. A row of zeros has the scale 0. Returns `None` if a weight is not
/// finite.
pub(crate) fn int8(row: &[f32], codes: &mut Vec<u8>) -> Option<f32> {
    let scale = size(row)? / 127.0;
    codes.extend(row.iter().map(|&w| byte(nearest(w, scale).clamp(-127.0, 127.0))));
    Some(scale)
}

/// Appends the codes of a row, two in each byte with the first in the lower half, and the scale of each block
/// of [`BLOCK`] weights: w ≈ (code − 8) · scale.
///
/// Of the scales that [`SIZES_IN_STEPS`] define, the one with the least sum of squared errors is used. Its sign
/// is opposite to that of the largest weight, because codes extend further below 0 than above. The last block
/// is filled with zeros. Returns `None` if a weight is not finite.
pub(crate) fn int4(row: &[f32], codes: &mut Vec<u8>, scales: &mut Vec<f32>) -> Option<()> {
    let mut block_codes = [8; BLOCK];
    for block in row.chunks(BLOCK) {
        let size = size(block)?;
        let largest = if block.contains(&size) { size } else { -size };
        let mut best = (f32::INFINITY, -largest / SIZES_IN_STEPS[0]);
        for scale in SIZES_IN_STEPS.map(|steps| -largest / steps) {
            let error = block
                .iter()
                .map(|weight| (weight - four_bit_steps(*weight, scale) * scale).powi(2));
            let error = error.sum();
            if error < best.0 {
                best = (error, scale);
            }
        }
        let (_, scale) = best;
        block_codes.fill(8);
        for (code, &weight) in block_codes.iter_mut().zip(block) {
            *code = byte(four_bit_steps(weight, scale)).wrapping_add(8);
        }
        codes.extend(block_codes.as_chunks().0.iter().map(|[low, high]| low | high << 4));
        scales.push(scale);
    }
    Some(())
}

/// A weight in whole steps of `scale`, from −8 to 7.
fn four_bit_steps(weight: f32, scale: f32) -> f32 {
    nearest(weight, scale).clamp(-8.0, 7.0)
}

/// A weight in whole steps of `scale`.
fn nearest(weight: f32, scale: f32) -> f32 {
    let steps = if scale == 0.0 { 0.0 } else { weight / scale };
    (steps + ROUNDING) - ROUNDING
}

/// An integer as a signed byte.
fn byte(steps: f32) -> u8 {
    (steps + ROUNDING).to_bits() as u8
}

/// The absolute value of the largest weight, or `None` if a weight is not finite. The bits of non-negative
/// float32 have the order of their values.
fn size(weights: &[f32]) -> Option<f32> {
    let bits = weights.iter().map(|weight| weight.abs().to_bits()).max()?;
    Some(f32::from_bits(bits)).filter(|size| size.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode_int8(row: &[f32]) -> (Vec<i8>, f32) {
        let mut codes = Vec::new();
        let scale = int8(row, &mut codes).unwrap();
        (codes.into_iter().map(|code| code as i8).collect(), scale)
    }

    fn encode_int4(row: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let (mut bytes, mut scales) = (Vec::new(), Vec::new());
        int4(row, &mut bytes, &mut scales).unwrap();
        (bytes.into_iter().flat_map(|byte| [byte & 15, byte >> 4]).collect(), scales)
    }

    #[test]
    fn int8_codes_round_to_the_nearest_even_step() {
        // Whole and half steps of 0.5.
        let row = [63.5, -63.5, 0.5, 0.25, 0.75, -0.25, -0.75, 0.26, 0.0, -0.0];
        let (codes, scale) = encode_int8(&row);
        assert_eq!(scale, 0.5);
        assert_eq!(codes, [127, -127, 1, 0, 2, 0, -2, 1, 0, 0]);
    }

    #[test]
    fn int4_codes_round_to_the_nearest_even_step() {
        // Whole steps of −0.5 and of 0.25. No other scale represents them exactly.
        let mut row = vec![4.0, -3.5, 3.5, 0.5, -0.5, 1.0, -1.5, 0.0];
        row.resize(BLOCK, 0.0);
        row.extend([-2.0, 1.0, 1.75]);
        let (codes, scales) = encode_int4(&row);
        assert_eq!(scales, [-0.5, 0.25]);
        assert_eq!(codes[..8], [0, 15, 1, 7, 9, 6, 11, 8]);
        assert_eq!(codes[BLOCK..BLOCK + 4], [0, 12, 15, 8]);
        assert_eq!(codes.len(), 2 * BLOCK, "the last block is filled");
        assert!(codes[BLOCK + 3..].iter().all(|&code| code == 8));
        assert_eq!([2.5, 3.5, -2.5].map(|w| nearest(w, 1.0)), [2.0, 4.0, -2.0]);
    }

    /// A large weight among many small ones may be cut. So may the opposite of the largest, or it makes the
    /// steps larger. The scale with the least error is used.
    #[test]
    fn the_scale_of_a_block_is_the_best_of_five() {
        let mut outlier = vec![1.0; BLOCK];
        outlier[5] = 7.9;
        let mut opposite = vec![0.0; BLOCK];
        (opposite[0], opposite[9]) = (-3.0, 3.0);
        let spread: Vec<f32> = (0..BLOCK).map(|i| ((i * 37) % BLOCK) as f32 - 63.3).collect();
        for (block, largest) in [(outlier, 7.9), (opposite, 3.0), (spread, 63.7)] {
            let (codes, scales) = encode_int4(&block);
            let error = |scale: f32| -> f32 {
                let cut = |w: f32| (w / scale).round_ties_even().clamp(-8.0, 7.0) * scale;
                block.iter().map(|&w| (w - cut(w)).powi(2)).sum()
            };
            let own = block.iter().zip(&codes);
            let own = own.map(|(w, &code)| (w - (f32::from(code) - 8.0) * scales[0]).powi(2));
            let own: f32 = own.sum();
            let least =
                SIZES_IN_STEPS.map(|reach| error(-largest / reach)).into_iter().fold(9e9, f32::min);
            assert!((own - least).abs() <= 1e-5 * least, "{own} {least}");
        }
    }

    #[test]
    fn zeros_and_the_smallest_numbers_have_finite_codes() {
        assert_eq!(encode_int8(&[0.0; 3]), (vec![0; 3], 0.0));
        assert_eq!(encode_int4(&[0.0; 3]).1, [-0.0]);
        // Its step underflows to 0 in float32.
        assert_eq!(encode_int8(&[1e-45, 0.0]), (vec![0; 2], 0.0));
        let (codes, scale) = encode_int8(&[2e-43, -2e-43, 1e-43]);
        assert!(scale > 0.0 && codes[0] == -codes[1] && codes[0] > 100, "{codes:?}");
    }

    #[test]
    fn weights_that_are_not_finite_have_no_codes() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(int8(&[1.0, broken, 2.0], &mut Vec::new()), None);
            assert_eq!(int4(&[1.0, broken], &mut Vec::new(), &mut Vec::new()), None);
        }
        // Their squares are infinite, but they have codes.
        assert!(int8(&[f32::MAX, f32::MIN], &mut Vec::new()).is_some());
        assert_eq!(encode_int4(&[f32::MAX, f32::MAX / 2.0]).0[..3], [0, 4, 8]);
    }

    /// Only weights that are cut are further from their code than half a step.
    #[test]
    fn rounding_moves_weights_by_at_most_half_a_step() {
        let row: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
        let (codes, scale) = encode_int8(&row);
        for (weight, code) in row.iter().zip(codes) {
            assert!((weight - f32::from(code) * scale).abs() <= 0.5001 * scale);
        }
        let (codes, scales) = encode_int4(&row);
        for (i, weight) in row.iter().enumerate() {
            let scale = scales[i / BLOCK];
            let cut = !(-8.5..=7.5).contains(&(weight / scale));
            let steps = if cut { 2.0001 } else { 0.5001 };
            let code = f32::from(codes[i]) - 8.0;
            assert!((weight - code * scale).abs() <= steps * scale.abs(), "{i}");
        }
    }
}
