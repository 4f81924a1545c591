//! Compares every back end of the machine with float64 and with the others.

use proptest::prelude::*;

use super::backend::Backend;
use super::inverse_cdf::{InverseCdf, Total};
use super::maximum::{Argmax, CopyFinite, Largest};
use crate::RowStats;

const NEVER: f32 = f32::NEG_INFINITY;

/// The definitions, in float64.
fn reference(row: &[f32]) -> Option<RowStats> {
    let top = (0..row.len()).rev().max_by(|&a, &b| row[a].partial_cmp(&row[b]).unwrap())?;
    let z = |logit: f32| f64::from(logit) - f64::from(row[top]);
    let sum: f64 = row.iter().map(|&logit| z(logit).exp()).sum();
    let terms = row.iter().filter(|logit| **logit > NEVER).map(|&logit| {
        let p = z(logit).exp() / sum;
        if p > 0.0 { -p * (z(logit) - sum.ln()) } else { 0.0 }
    });
    let second = row.iter().enumerate().filter(|(token, _)| *token != top);
    let second = second.map(|(_, &logit)| logit).fold(NEVER, f32::max);
    (row[top] > NEVER).then(|| RowStats {
        log_z: f64::from(row[top]) + sum.ln(),
        entropy: terms.sum(),
        top: top as u32,
        p1: 1.0 / sum,
        p2: z(second).exp() / sum,
    })
}

fn assert_close(stats: Option<RowStats>, expected: Option<RowStats>) {
    let (Some(stats), Some(expected)) = (stats, expected) else {
        return assert_eq!(stats, expected);
    };
    // The resolution of log Z for large logits.
    let ulp = 1e-12 * expected.log_z.abs();
    assert!((stats.log_z - expected.log_z).abs() < 1e-5 + ulp, "{stats:?} {expected:?}");
    assert!((stats.entropy - expected.entropy).abs() < 1e-5, "{stats:?} {expected:?}");
    assert!((stats.p1 - expected.p1).abs() < 1e-5, "{stats:?} {expected:?}");
    assert!((stats.p2 - expected.p2).abs() < 1e-5, "{stats:?} {expected:?}");
    assert_eq!(stats.top, expected.top);
    assert!(stats.p1 <= 1.0 && stats.p2 <= stats.p1 && stats.entropy >= 0.0, "{stats:?}");
}

/// Checks a row of finite logits and −∞ on every back end.
fn check(row: &[f32]) {
    let expected = reference(row);
    let (mut fused, mut shared) = (None, None);
    for backend in Backend::all() {
        let stats = backend.stats(row).unwrap();
        assert_close(stats, expected);
        if backend.fuses() {
            assert_eq!(*fused.get_or_insert(stats), stats, "{backend:?}");
        }
        let max = backend.run(Largest(row));
        let total = backend.run(Total { row, max });
        let shares = [0.0, 0.1, 0.5, 0.9, 1.0 - f64::EPSILON / 2.0];
        let drawn = shares.map(|u| backend.run(InverseCdf { row, u }));
        let mut copy = vec![1.0];
        backend.run(CopyFinite { row, copy: &mut copy }).unwrap();
        assert_eq!(copy, row);
        let Some(expected) = expected else { continue };
        assert_eq!(max, row[expected.top as usize]);
        assert_eq!(backend.run(Argmax(row)), expected.top as usize);
        assert!((total * expected.p1 - 1.0).abs() < 1e-5, "{total} {expected:?}");
        let bits = (total.to_bits(), drawn);
        assert_eq!(*shared.get_or_insert(bits), bits, "{backend:?}");
        check_shares(row, &expected, &shares, &drawn);
    }
}

/// Checks that the token drawn at share u is where the distribution function passes u.
fn check_shares(row: &[f32], expected: &RowStats, shares: &[f64], drawn: &[usize]) {
    // Not from log Z, which loses ln V if logits are huge.
    let max = f64::from(row[expected.top as usize]);
    let probability = |&logit: &f32| expected.p1 * (f64::from(logit) - max).exp();
    for (&u, &token) in shares.iter().zip(drawn) {
        let before: f64 = row[..token].iter().map(probability).sum();
        let p = probability(&row[token]);
        assert!(
            p > 0.0 && before - 2e-6 <= u && u <= before + p + 2e-6,
            "{u} {token}: {before} {p}"
        );
    }
}

/// One logit of several kinds.
fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -12.0f32..12.0,
        2 => -100.0f32..100.0,
        2 => Just(1.5f32),
        2 => Just(NEVER),
        1 => prop_oneof![Just(0.0f32), Just(-0.0f32), Just(-87.9f32), Just(-88.1f32)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn rows_of_any_kind(row in prop::collection::vec(logit(), 1..2000)) {
        check(&row);
    }

    #[test]
    fn rows_of_large_logits(
        row in prop::collection::vec(-30.0f32..30.0, 1..2000),
        shift in prop_oneof![Just(1e4f32), Just(-1e6f32), Just(1e30f32), Just(-3e38f32)],
        wide in any::<bool>(),
    ) {
        let large = |&logit: &f32| if wide { logit / 32.0 * shift.abs() } else { logit + shift };
        check(&row.iter().map(large).collect::<Vec<_>>());
    }

    #[test]
    fn one_possible_token(length in 1usize..2000, place in 0usize..2000, logit in -1e5f32..1e5) {
        let mut row = vec![NEVER; length];
        row[place % length] = logit;
        check(&row);
        let stats = RowStats::of(&row).unwrap();
        prop_assert_eq!((stats.entropy, stats.p1, stats.p2), (0.0, 1.0, 0.0));
    }

    #[test]
    fn the_first_that_is_not_finite_is_named(
        mut row in prop::collection::vec(logit(), 1..2000),
        places in prop::collection::vec(0usize..2000, 1..4),
        bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY)],
        hidden in any::<bool>(),
    ) {
        if hidden {
            row.fill(NEVER);
        }
        let length = row.len();
        places.iter().for_each(|place| row[place % length] = bad);
        let first = places.iter().map(|place| place % length).min();
        for backend in Backend::all() {
            prop_assert_eq!(backend.stats(&row).err(), first);
            let copied = backend.run(CopyFinite { row: &row, copy: &mut Vec::new() });
            prop_assert_eq!(copied.err(), first);
        }
    }
}

/// Rows of a real vocabulary's length whose rounding errors cannot cancel: all terms equal, or of two values.
#[test]
fn long_rows_that_round_the_same_way() {
    for gap in [0.0, 0.3, 5.0, 11.9, 12.3, 17.7, 30.0] {
        for leaders in [1, 700, 75_968] {
            let mut row = vec![-gap; 151_936];
            row[151_936 - leaders..].fill(0.0);
            check(&row);
            row.reverse();
            check(&row);
        }
    }
    let rising: Vec<f32> = (0..151_936).map(|token| token as f32 * 0.01).collect();
    check(&rising);
    check(&rising.iter().rev().copied().collect::<Vec<_>>());
}

#[test]
fn empty_rows() {
    check(&[]);
    check(&[NEVER; 64]);
    check(&[NEVER; 1500]);
    assert_eq!((super::argmax(&[]), super::inverse_cdf(&[], 0.5)), (0, 0));
    assert_eq!(super::largest(&[]), NEVER);
    assert!(super::inverse_cdf(&[NEVER; 1500], 0.5) < 1500);
}

#[test]
fn a_row_is_the_same_wherever_it_lies() {
    let row: Vec<f32> = (0..5000).map(|token| (token as f32 * 0.7).sin() * 9.0).collect();
    for offset in 0..17 {
        let mut moved = vec![3.0; offset];
        moved.extend_from_slice(&row);
        assert_eq!(RowStats::of(&moved[offset..]), RowStats::of(&row));
        let draw = |row: &[f32]| super::inverse_cdf(row, 0.37);
        assert_eq!(draw(&moved[offset..]), draw(&row));
    }
}
