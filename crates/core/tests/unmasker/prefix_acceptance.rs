//! `PrefixAcceptance`: the law of drafts accepted under Gumbel noise shared by both models.

use crate::common::{ZERO, blank, distance, generator, law};
use conjoint_core::draw::Argmax;
use conjoint_core::order::LeftToRight;
use conjoint_core::unmasker::{Marginal, PrefixAcceptance};
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{GoodnessOfFit, TabularAutoregressive, TabularJoint};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn exact(joint: &TabularJoint) -> TabularAutoregressive {
    TabularAutoregressive::new(joint.clone())
}

/// Samples one sequence by the definition, with Gumbel noise shared by both models.
fn with_gumbel_noise(joint: &TabularJoint, r: f64, rng: &mut ChaCha8Rng) -> Vec<TokenId> {
    let (t, v) = (joint.length(), joint.symbols());
    let mut tokens = joint.masked();
    let mut first = 0;
    while first < t {
        let mut draft = tokens.clone();
        let mut accepted = 0;
        for i in first..t {
            let noise: Vec<f64> =
                (0..v).map(|_| -(-rng.random::<f64>().max(1e-300).ln()).ln()).collect();
            let pick = |p: &dyn Fn(usize) -> f64| {
                let noisy = |j: usize| p(j).ln() + noise[j];
                (0..v).max_by(|&a, &b| noisy(a).total_cmp(&noisy(b))).unwrap() as TokenId
            };
            let own = joint.conditional(&tokens, i).unwrap();
            let mut left = draft.clone();
            left[i..].fill(joint.mask());
            let ar = joint.conditional(&left, i).unwrap();
            draft[i] = pick(&|j| own[j]);
            if i > first && draft[i] != pick(&|j| own[j].powf(r) * ar[j].powf(1.0 - r)) {
                break;
            }
            accepted += 1;
        }
        tokens[first..first + accepted].copy_from_slice(&draft[first..first + accepted]);
        first += accepted;
    }
    tokens
}

fn accepting(joint: &TabularJoint, r: f64) -> Generator {
    generator(joint, 1, PrefixAcceptance::new(exact(joint)).mixture(r).unwrap())
}

/// 10⁵ sequences for each R, at a false-alarm rate of 1e-3. The test rejects another R.
#[test]
fn the_law_is_that_of_shared_gumbel_noise() {
    let joint = TabularJoint::random(3, 3, 0.5, 12).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for r in [0.0, 0.7] {
        let samples: Vec<_> =
            (0..100_000).map(|_| with_gumbel_noise(&joint, r, &mut rng)).collect();
        let test = |r| GoodnessOfFit::test(&samples, &law(&accepting(&joint, r), &joint), 1e-3);
        assert!(!test(r).unwrap().rejects(), "R = {r}: {:?}", test(r));
        assert!(test(r + 0.3).unwrap().rejects(), "R = {r}");
    }
}

#[test]
fn a_window_of_one_is_exact_and_a_weight_of_one_is_marginal() {
    let joint = TabularJoint::random(3, 3, 0.5, 4).unwrap();
    let one = PrefixAcceptance::new(exact(&joint)).window(1).unwrap();
    assert!(distance(&generator(&joint, 3, one), &joint, &joint.masked()) < ZERO);
    let two = PrefixAcceptance::new(exact(&joint)).mixture(1.0).unwrap().window(2).unwrap();
    let marginal = law(&generator(&joint, 2, Marginal::new(LeftToRight)), &joint);
    assert!(law(&generator(&joint, 1, two), &joint).total_variation(&marginal) < ZERO);
}

/// The law is not exact, and nearer the joint than independent draws.
#[test]
fn the_second_model_brings_the_law_nearer_the_joint() {
    let mut means = [0.0; 3];
    for seed in 0..20 {
        let joint = TabularJoint::random(3, 2, 0.3, seed).unwrap();
        for (r, mean) in [0.0, 0.7, 1.0].into_iter().zip(&mut means) {
            *mean += joint.total_variation(&law(&accepting(&joint, r), &joint)) / 20.0;
        }
    }
    assert!(means.is_sorted() && means[0] > 0.01 && means[1] < 0.9 * means[2], "{means:?}");
}

/// The most probable tokens of the marginals are 0, 0. After a 0 the second token is more probably 1.
#[test]
fn greedy_compares_the_most_probable_tokens() {
    let joint = TabularJoint::new(2, 2, &[0.25, 0.30, 0.45, 0.0]).unwrap();
    for (r, expected, calls) in [(0.0, [0, 1], 2), (1.0, [0, 0], 1)] {
        let strategy = PrefixAcceptance::new(exact(&joint)).mixture(r).unwrap().greedy();
        let generator = generator(&joint, 1, strategy).draw(Argmax);
        let output = generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
        assert_eq!((output.tokens, output.denoiser_calls), (expected.to_vec(), calls));
    }
}

#[test]
fn a_failure_of_the_second_model_is_returned() {
    crate::failing::assert_error_is_returned(PrefixAcceptance::new(crate::failing::Failing));
}
