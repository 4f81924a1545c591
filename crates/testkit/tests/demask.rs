//! DEMASK: what its bound promises of a step, when, and a broken twin that the same measure catches.

mod common;

use std::sync::Arc;

use common::{Reveals, ZERO, blank, distance, generator, orders, parity};
use conjoint_core::influence::{GiniBound, Influence};
use conjoint_core::order::MaxProb;
use conjoint_core::policy::Demask;
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::{Error, Next, Observation, Row, TokenId, Unmasker, View};
use conjoint_testkit::{TabularInfluence, TabularJoint};
use ndarray::Array2;
use proptest::prelude::*;

/// The same influence of every position on every other.
struct Everywhere(f64);

impl Influence for Everywhere {
    fn influences(&self, view: &mut Observation<'_>) -> Result<Array2<f64>, Error> {
        let n = view.candidates().len();
        Ok(Array2::from_elem((n, n), self.0))
    }
}

fn demask(influence: impl Influence + 'static, bound: f64) -> Unmasking {
    common::together(Demask::new(influence, bound).unwrap())
}

fn exact(joint: &TabularJoint) -> TabularInfluence {
    TabularInfluence::new(joint.clone())
}

/// The positions that the first step reveals, in order.
fn together(joint: &TabularJoint, strategy: impl Into<Unmasking>) -> Vec<usize> {
    let mut reveals = Reveals::default();
    generator(joint, 1, strategy).run(vec![blank(joint)], &mut reveals).unwrap();
    reveals.0.iter().filter(|reveal| reveal.step == 0).map(|reveal| reveal.position).collect()
}

/// Total variation between the joint of `positions` and the product of their marginals.
fn off(joint: &TabularJoint, positions: &[usize]) -> f64 {
    let of = |x: &[TokenId]| positions.iter().map(|&i| x[i]).collect();
    joint.law().map(of).total_variation(&joint.product_of_marginals().map(of))
}

/// Whether each of the positions is moved by all before it no more than by each of them, summed.
fn sub_additive(joint: &TabularJoint, positions: &[usize]) -> bool {
    (2..positions.len()).all(|k| {
        let (before, j) = (&positions[..k], positions[k]);
        let split = |x: &[TokenId]| before.iter().map(|&i| x[i]).collect::<Vec<_>>();
        let both = joint.law().map(|x| [split(x), vec![x[j]]].concat());
        let apart = joint.law().map(split);
        let product = apart
            .iter()
            .flat_map(|(x, p)| {
                let row = joint.marginal(j).unwrap();
                (0..).zip(row).map(move |(v, q)| ([x, &[v]].concat(), p * q)).collect::<Vec<_>>()
            })
            .collect();
        let single: f64 = before.iter().map(|&i| off(joint, &[i, j])).sum();
        both.total_variation(&product) <= single + 1e-12
    })
}

/// n bits that always agree; 1 with probability ε.
fn agreeing(n: usize, epsilon: f64) -> TabularJoint {
    let mut weights = vec![0.0; 1 << n];
    weights[0] = 1.0 - epsilon;
    weights[(1 << n) - 1] = epsilon;
    TabularJoint::new(n, 2, &weights).unwrap()
}

/// Joints of four positions, from all but certain to weakly dependent, and bits that agree.
fn joints() -> Vec<TabularJoint> {
    let random = |(seed, alpha)| TabularJoint::random(4, 3, alpha, seed).unwrap();
    let alphas = [0.02, 0.05, 0.2, 1.0, 5.0, 20.0];
    let mut joints: Vec<TabularJoint> =
        (0..120).zip(alphas.into_iter().cycle()).map(random).collect();
    joints.extend([0.02, 0.05, 0.1].map(|epsilon| agreeing(4, epsilon)));
    joints
}

/// Of the first steps of a strategy on all joints and several bounds: how many reveal two tokens, how many
/// more, and how many are off by their bound or more.
fn tally<S: Into<Unmasking>>(make: impl Fn(&TabularJoint, f64) -> S) -> (usize, usize, usize) {
    let (mut two, mut more, mut broken) = (0, 0, 0);
    for joint in joints() {
        for bound in [0.02, 0.1, 0.2, 0.4, 0.7] {
            let positions = together(&joint, make(&joint, bound));
            two += usize::from(positions.len() == 2);
            more += usize::from(positions.len() > 2);
            broken += usize::from(positions.len() > 1 && off(&joint, &positions) >= bound);
        }
    }
    (two, more, broken)
}

#[test]
fn a_bound_of_zero_is_exact_whatever_the_influences() {
    let joint = TabularJoint::random(3, 3, 0.5, 4).unwrap();
    for (name, order) in orders() {
        let influences: [Arc<dyn Influence>; 3] =
            [Arc::new(GiniBound), Arc::new(exact(&joint)), Arc::new(Everywhere(0.0))];
        for influence in influences {
            let policy = Demask::new(influence, 0.0).unwrap().order(order.clone());
            let strategy = common::together(policy);
            let distance = distance(&generator(&joint, 1, strategy), &joint, &joint.masked());
            assert!(distance < ZERO, "{name}: {distance}");
        }
    }
}

/// Without any assumption.
#[test]
fn a_gini_bound_is_never_exceeded() {
    let (two, more, broken) = tally(|_, bound| demask(GiniBound, bound));
    assert_eq!(broken, 0);
    assert!(two > 100 && more > 10, "{two} {more}");
}

proptest! {
    #![proptest_config(common::cases(48))]

    #[test]
    fn a_whole_sequence_is_off_by_at_most_its_steps(
        alpha in 0.02f64..1.0, bound in 0.01f64..0.6, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let demask = generator(&joint, 1, demask(GiniBound, bound));
        // Four positions have room for two steps of more than one token.
        prop_assert!(distance(&demask, &joint, &joint.masked()) < 2.0 * bound);
    }

    #[test]
    fn the_true_influence_is_what_two_are_off_by(
        alpha in 0.02f64..5.0, bound in 0.0f64..0.6, seed: u64,
    ) {
        let joint = TabularJoint::random(2, 3, alpha, seed).unwrap();
        let law = distance(&generator(&joint, 1, demask(exact(&joint), bound)), &joint, &[3, 3]);
        let apart = off(&joint, &[0, 1]);
        let expected = if apart < bound { apart } else { 0.0 };
        prop_assert!((law - expected).abs() < ZERO, "{} {}", law, apart);
    }
}

/// Under the paper's assumption, which is checked here for each step.
#[test]
fn a_bound_on_true_influences_holds_where_they_are_sub_additive() {
    let mut more = 0;
    for joint in joints() {
        for bound in [0.02, 0.1, 0.2, 0.4, 0.7] {
            let positions = together(&joint, demask(exact(&joint), bound));
            if positions.len() > 1 && sub_additive(&joint, &positions) {
                let off = off(&joint, &positions);
                assert!(off < bound, "{positions:?} off by {off}, bound {bound}");
                more += usize::from(positions.len() > 2);
            }
        }
    }
    assert!(more > 50, "{more}");
}

/// Parity is the law that the assumption is not true of: no bit has any influence, but two have.
#[test]
fn parity_needs_the_assumption() {
    let joint = parity();
    assert!(!sub_additive(&joint, &[0, 1, 2]));
    let at_once = generator(&joint, 1, demask(exact(&joint), 0.01));
    assert!((distance(&at_once, &joint, &joint.masked()) - 0.5).abs() < ZERO);
    for (bound, expected) in [(0.4, 1), (0.6, 2)] {
        let positions = together(&joint, demask(GiniBound, bound));
        assert_eq!(positions.len(), expected);
        assert!(expected == 1 || off(&joint, &positions) < bound);
    }
}

/// Broken on purpose: looks at each pair, and ignores their sum.
#[derive(Clone)]
struct EachPair<I> {
    influence: I,
    bound: f64,
}

impl<I: Influence> Unmasker for EachPair<I> {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&MaxProb)?;
        let influences = self.influence.influences(view)?;
        let mut chosen: Vec<Row> = Vec::new();
        for rank in 0..view.candidates().len() {
            let next = view.ranked(rank);
            let pair = |before: &Row| influences[[before.index(), next.index()]];
            if chosen.iter().all(|before| pair(before) < self.bound) {
                let drawn = view.draw(next)?;
                view.reveal(next, drawn);
                chosen.push(next);
            }
        }
        Ok(Next::EndStep)
    }
}

#[test]
fn ignoring_the_sum_is_caught() {
    let (_, _, broken) = tally(|_, bound| EachPair { influence: GiniBound, bound });
    assert!(broken > 5, "{broken}");
    let (_, _, broken) = tally(|joint, bound| EachPair { influence: exact(joint), bound });
    assert!(broken > 5, "{broken}");
}

/// An influence that is claimed to be less than it is breaks the promise.
#[test]
fn a_blind_predictor_is_caught() {
    let (_, _, broken) = tally(|_, bound| demask(Everywhere(0.0), bound));
    assert!(broken > 50, "{broken}");
}

#[test]
fn influences_that_are_none_are_refused() {
    struct Wrong(usize, f64);
    impl Influence for Wrong {
        fn influences(&self, _: &mut Observation<'_>) -> Result<Array2<f64>, Error> {
            Ok(Array2::from_elem((3, self.0), self.1))
        }
    }
    let joint = parity();
    let error = |wrong| {
        let generator = generator(&joint, 1, demask(wrong, 0.5));
        generator.run(vec![blank(&joint)], &mut ()).unwrap_err().to_string()
    };
    assert!(error(Wrong(2, 0.0)).contains("(3, 3)"));
    for bad in [-0.1, f64::NAN] {
        let error = error(Wrong(3, bad));
        assert!(error.contains("influence of 0 on 1") && error.contains("at least 0"), "{error}");
    }
    let never = generator(&joint, 1, demask(Everywhere(f64::INFINITY), 0.5));
    assert!(distance(&never, &joint, &joint.masked()) < ZERO);
}
