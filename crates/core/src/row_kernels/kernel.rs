//! Loops over lanes, which the compiler vectorises.
#![allow(clippy::needless_range_loop)] // several arrays share the index

use std::f32::consts::{LN_2, LOG2_E};

/// Numbers computed side by side: one vector of AVX-512, two of AVX2, four of SSE2 and NEON.
pub(super) const LANES: usize = 16;

/// Kernels take whole blocks. The remaining logits of a row are summed in plain float64.
pub(super) const BLOCK: usize = 4 * LANES;

/// Logits summed in float32 before the sum continues in float64. A float32 sum then has at most 16 terms a
/// lane, whose rounding errors may all have one sign: with 64 terms, the entropy of a bad row was off by
/// 1.2e-5.
pub(super) const PIECE: usize = 4 * BLOCK;

/// How far above its reference a logit may lie: e^60 is far from overflow in float32.
pub(super) const REACH: f32 = 60.0;

/// e^z is 0 from here down. Lower values, −∞ included, are raised to this.
const FLOOR: f32 = -88.0;

/// The weights of a piece of a row, with z = logit − reference.
pub(super) struct Weights {
    /// The largest logit.
    pub max: f32,
    /// Σ e^z.
    pub sum: f32,
    /// Σ z e^z.
    pub weighted: f32,
}

/// Maximum, Σ e^z and Σ z e^z of whole blocks, in one pass. The sums are NaN if a logit is NaN, and
/// invalid if one lies more than [`REACH`] above the reference.
#[inline(always)]
pub(super) fn weigh<const FUSED: bool>(piece: &[f32], reference: f32) -> Weights {
    let mut max = [f32::NEG_INFINITY; LANES];
    let (mut sum, mut weighted) = ([0.0; LANES], [0.0; LANES]);
    for lanes in piece.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            max[i] = larger(max[i], lanes[i]);
            let z = larger_or_nan(FLOOR, lanes[i] - reference);
            let e = exp::<FUSED>(z);
            sum[i] += e;
            weighted[i] = mul_add::<FUSED>(z, e, weighted[i]);
        }
    }
    let add = |a: f32, b: f32| a + b;
    Weights { max: fold(max, larger), sum: fold(sum, add), weighted: fold(weighted, add) }
}

/// Σ e^(logit − max) of whole blocks.
#[inline(always)]
pub(super) fn weight(piece: &[f32], max: f32) -> f32 {
    let mut sum = [0.0; LANES];
    for lanes in piece.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            sum[i] += weight_of(lanes[i], max);
        }
    }
    fold(sum, |a, b| a + b)
}

/// e^(logit − max), to the bit as [`weight`] sums it.
#[inline(always)]
pub(super) fn weight_of(logit: f32, max: f32) -> f32 {
    exp::<false>(larger_or_nan(FLOOR, logit - max))
}

/// The largest logit of whole blocks.
#[inline(always)]
pub(super) fn maximum(blocks: &[f32]) -> f32 {
    let mut max = [f32::NEG_INFINITY; LANES];
    for lanes in blocks.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            max[i] = larger(max[i], lanes[i]);
        }
    }
    fold(max, larger)
}

/// e^z for FLOOR ≤ z ≤ REACH.
///
/// With n the integer nearest to z log₂e and f the rest, |f| ≤ 1/2: e^z = 2ⁿ 2^f. 2^f is approximated by the
/// polynomial of degree 5 with p(0) = 1 and p'(0) = ln 2 of least relative error (1.1e-7). Adding [`SHIFT`]
/// rounds to an integer and leaves n + 127, the bits of 2ⁿ's exponent, at the end of the sum's own bits;
/// n = −127 gives 0. Rounding z log₂e without FMA adds |z| 6e-8 to the relative error.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(z: f32) -> f32 {
    /// 1.5 · 2²³ + 127.
    const SHIFT: f32 = 12_583_039.0;
    let shifted = mul_add::<FUSED>(z, LOG2_E, SHIFT);
    let f = mul_add::<FUSED>(z, LOG2_E, -(shifted - SHIFT));
    let mut p = 0.001_330_018_9;
    for coefficient in [0.009_669_81, 0.055_505_607, 0.240_222_8, LN_2, 1.0] {
        p = mul_add::<FUSED>(p, f, coefficient);
    }
    p * f32::from_bits(shifted.to_bits() << 23)
}

/// a b + c, rounded once if `FUSED` and twice otherwise.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The larger of two, `a` if `b` is NaN. One instruction, which `f32::max` is not.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The larger of two, NaN if `b` is NaN.
#[inline(always)]
fn larger_or_nan(a: f32, b: f32) -> f32 {
    if b < a { a } else { b }
}

/// Reduces the lanes in pairs, always in the same order.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], pair: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = pair(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_accurate_over_their_range() {
        let error = |e: f32, z: f32| (f64::from(e) / f64::from(z).exp() - 1.0).abs();
        for step in -86_000..60_000 {
            let z = step as f32 / 1000.0;
            assert!(error(exp::<true>(z), z) < 4e-7 + 2e-8 * f64::from(z.abs()), "{z}");
            assert!(error(exp::<false>(z), z) < 4e-7 + 8e-8 * f64::from(z.abs()), "{z}");
        }
    }

    #[test]
    fn weights_of_0_and_1_are_exact() {
        for [zero, one] in [[FLOOR, 0.0].map(exp::<true>), [FLOOR, 0.0].map(exp::<false>)] {
            assert_eq!((zero, one), (0.0, 1.0));
        }
        let weighed = weigh::<false>(&[f32::NEG_INFINITY; BLOCK], 0.0);
        assert_eq!((weighed.sum, weighed.weighted), (0.0, 0.0));
        assert_eq!(weighed.max, f32::NEG_INFINITY);
        assert!(exp::<true>(f32::NAN).is_nan() && exp::<false>(f32::NAN).is_nan());
    }
}
