//! `Temperature`: the law of tempered rows.

use crate::common::cases;
use crate::truncation::{Rule, assert_law, laws, truncated};
use conjoint_core::filter::{Filter, Temperature, TopP};
use conjoint_testkit::{GoodnessOfFit, Law, TabularJoint};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn tempered(t: f64) -> Rule {
    Box::new(move |p| p.iter().map(|p| p.powf(1.0 / t)).collect())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn is_as_defined(t in 0.3f64..2.0, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        assert_law(&joint, Temperature::new(t).unwrap(), &[tempered(t)]);
    }

    #[test]
    fn before_top_p_is_as_defined(
        t in 0.3f64..2.0, p in 0.2f64..0.95, alpha in 0.3f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let filter = Temperature::new(t).unwrap().then(TopP::new(p).unwrap());
        assert_law(&joint, filter, &[tempered(t), truncated(move |_, before, _, _| before <= p)]);
    }
}

#[test]
fn changes_the_law() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let [tempered, _] = laws(&joint, Temperature::new(0.5).unwrap());
    assert!(joint.total_variation(&tempered) > 0.05);
}

/// LLaDA's noise, eˡ / (−ln u)ᵀ in float64. Over 10⁵ draws its largest entry has the law softmax(l / T), at a false-alarm
/// rate of 1e-3, and not softmax(l).
#[test]
fn gumbel_noise_at_a_temperature_is_a_tempered_draw() {
    let (logits, temperature) = ([0.3f64, -1.0, 1.2, 0.0], 0.6f64);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let draw = |_| {
        let noisy: Vec<f64> = logits
            .iter()
            .map(|l| l.exp() / (-rng.random::<f64>().max(1e-300).ln()).powf(temperature))
            .collect();
        vec![(0..4).max_by(|&a, &b| noisy[a].total_cmp(&noisy[b])).unwrap() as u32]
    };
    let samples: Vec<Vec<u32>> = (0..100_000).map(draw).collect();
    let softmax = |t: f64| -> Law {
        let total: f64 = logits.iter().map(|l| (l / t).exp()).sum();
        (0..).zip(&logits).map(|(token, l)| (vec![token], (l / t).exp() / total)).collect()
    };
    let test = |t| GoodnessOfFit::test(&samples, &softmax(t), 1e-3).unwrap();
    assert!(!test(temperature).rejects(), "{:?}", test(temperature));
    assert!(test(1.0).rejects());
}
