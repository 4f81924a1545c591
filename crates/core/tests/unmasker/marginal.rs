//! `Marginal`: the joint with one token a step, and otherwise the law that its docs claim, computed here by hand.

use crate::common::{ZERO, cases, generator, law, orders, over, parity};
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{Law, TabularDenoiser, TabularJoint};
use proptest::prelude::*;

/// One token a step, in every order.
fn variants(oracle: &TabularDenoiser, _: usize) -> Vec<(String, Generator)> {
    let one = |order| over(oracle.clone(), 1, Marginal::new(order));
    orders().into_iter().map(|(name, order)| (name.to_owned(), one(order))).collect()
}

samples_the_joint!(variants);

fn entropy(p: &[f64]) -> f64 {
    -p.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// The law of two tokens a step over three positions in entropy order, from sums over the table. The two positions of least
/// entropy have their marginals, and the third its conditional given both.
fn two_then_one_law(joint: &TabularJoint) -> Law {
    let table = joint.law();
    let sum = |agrees: &dyn Fn(&[TokenId]) -> bool| -> f64 {
        table.iter().filter(|(x, _)| agrees(x)).map(|(_, p)| p).sum()
    };
    let marginal = |i: usize, token: TokenId| sum(&|x| x[i] == token);
    let entropy_of =
        |i: usize| entropy(&(0..joint.mask()).map(|token| marginal(i, token)).collect::<Vec<_>>());
    let last = (0..3).max_by(|&i, &j| entropy_of(i).total_cmp(&entropy_of(j))).unwrap();
    let (a, b) = ((last + 1) % 3, (last + 2) % 3);
    let two_then_one = |(x, p): (&[TokenId], f64)| {
        let both = sum(&|y| y[a] == x[a] && y[b] == x[b]);
        (x.to_vec(), marginal(a, x[a]) * marginal(b, x[b]) * p / both)
    };
    table.iter().map(two_then_one).collect()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn all_at_once_is_the_product_of_marginals(
        length in 2usize..=3, symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
        let product = joint.product_of_marginals();
        for (name, order) in orders() {
            let law = law(&generator(&joint, length, Marginal::new(order)), &joint);
            prop_assert!(law.total_variation(&product) < ZERO, "{name}");
            let distance = joint.total_variation(&law);
            prop_assert!((distance - joint.total_variation(&product)).abs() < ZERO);
        }
    }

    #[test]
    fn two_then_one(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 2, Marginal::default()), &joint);
        prop_assert!(law.total_variation(&two_then_one_law(&joint)) < ZERO);
    }
}

/// The distances that the docs quote: over joints of 3 tokens over 3 symbols drawn from Dirichlet(0.3), the mean total
/// variation is 0.45 for K = 3 and 0.20 for K = 2.
#[test]
fn distances_quoted_in_the_docs() {
    let distances = |seed| {
        let joint = TabularJoint::random(3, 3, 0.3, seed).unwrap();
        [3, 2].map(|k| {
            joint.total_variation(&law(&generator(&joint, k, Marginal::default()), &joint))
        })
    };
    for (got, known) in distances(7).into_iter().zip([0.4649, 0.1516]) {
        assert!((got - known).abs() < 1e-4, "{got}, expected {known}");
    }
    let mut means = [0.0; 2];
    for seed in 0..100 {
        let add = |(mean, distance): (&mut f64, f64)| *mean += distance / 100.0;
        means.iter_mut().zip(distances(seed)).for_each(add);
    }
    for (mean, known) in means.into_iter().zip([0.45, 0.20]) {
        assert!((mean - known).abs() < 0.02, "{mean}, expected {known}");
    }
}

#[test]
fn distances_known_by_hand() {
    // All four pairs of bits are equally likely; in the joint only the two pairs that agree are.
    let coins = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let both = law(&generator(&coins, 2, Marginal::default()), &coins);
    assert!((coins.total_variation(&both) - 0.5).abs() < ZERO);
    // All eight triples, against the four of even parity. With two at once the third bit is drawn given both.
    let parity = parity();
    for (k, expected) in [(1, 0.0), (2, 0.0), (3, 0.5)] {
        let at_once = law(&generator(&parity, k, Marginal::default()), &parity);
        assert!((parity.total_variation(&at_once) - expected).abs() < ZERO, "K = {k}");
    }
}
