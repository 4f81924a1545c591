//! DEMASK: the distance of a step from the joint is below its bound. Broken variants exceed it.

use std::sync::Arc;

use crate::common;

use crate::common::{Reveals, ZERO, blank, distance, generator, orders, parity};
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
fn first_step(joint: &TabularJoint, strategy: impl Into<Unmasking>) -> Vec<usize> {
    let mut reveals = Reveals::default();
    generator(joint, 1, strategy).run(vec![blank(joint)], &mut reveals).unwrap();
    reveals.0.iter().filter(|reveal| reveal.step == 0).map(|reveal| reveal.position).collect()
}

/// Total variation between the joint of `positions` and the product of their marginals.
fn distance_of(joint: &TabularJoint, positions: &[usize]) -> f64 {
    let of = |x: &[TokenId]| positions.iter().map(|&i| x[i]).collect();
    joint.law().map(of).total_variation(&joint.product_of_marginals().map(of))
}

/// Whether the influence of all earlier positions on each position is at most the sum of their single influences.
fn sub_additive(joint: &TabularJoint, positions: &[usize]) -> bool {
    (2..positions.len()).all(|k| {
        let (before, j) = (&positions[..k], positions[k]);
        let split = |x: &[TokenId]| before.iter().map(|&i| x[i]).collect::<Vec<_>>();
        let both = joint.law().map(|x| [split(x), vec![x[j]]].concat());
        let before_alone = joint.law().map(split);
        let product = before_alone
            .iter()
            .flat_map(|(x, p)| {
                let row = joint.marginal(j).unwrap();
                (0..).zip(row).map(move |(v, q)| ([x, &[v]].concat(), p * q)).collect::<Vec<_>>()
            })
            .collect();
        let single: f64 = before.iter().map(|&i| distance_of(joint, &[i, j])).sum();
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

/// Joints of four positions, from nearly certain to weakly dependent, and bits that agree.
fn joints() -> Vec<TabularJoint> {
    let random = |(seed, alpha)| TabularJoint::random(4, 3, alpha, seed).unwrap();
    let alphas = [0.02, 0.05, 0.2, 1.0, 5.0, 20.0];
    let mut joints: Vec<TabularJoint> =
        (0..120).zip(alphas.into_iter().cycle()).map(random).collect();
    joints.extend([0.02, 0.05, 0.1].map(|epsilon| agreeing(4, epsilon)));
    joints
}

/// Counts the first steps of a strategy, on all joints and for several bounds: those that reveal two tokens, those that
/// reveal more, and those whose distance from the joint reaches their bound.
fn count_first_steps<S: Into<Unmasking>>(
    make: impl Fn(&TabularJoint, f64) -> S,
) -> (usize, usize, usize) {
    let (mut two, mut more, mut broken) = (0, 0, 0);
    for joint in joints() {
        for bound in [0.02, 0.1, 0.2, 0.4, 0.7] {
            let positions = first_step(&joint, make(&joint, bound));
            two += usize::from(positions.len() == 2);
            more += usize::from(positions.len() > 2);
            broken += usize::from(positions.len() > 1 && distance_of(&joint, &positions) >= bound);
        }
    }
    (two, more, broken)
}

#[test]
fn a_bound_of_zero_is_exact_for_any_influences() {
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

/// This needs no assumption.
#[test]
fn a_gini_bound_is_never_exceeded() {
    let (two, more, broken) = count_first_steps(|_, bound| demask(GiniBound, bound));
    assert_eq!(broken, 0);
    assert!(two > 100 && more > 10, "{two} {more}");
}

proptest! {
    #![proptest_config(common::cases(48))]

    #[test]
    fn the_distance_of_a_sequence_is_at_most_the_sum_over_its_steps(
        alpha in 0.02f64..1.0, bound in 0.01f64..0.6, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let demask = generator(&joint, 1, demask(GiniBound, bound));
        // Four positions have room for two steps of more than one token.
        prop_assert!(distance(&demask, &joint, &joint.masked()) < 2.0 * bound);
    }

    #[test]
    fn the_true_influence_is_the_distance_of_two_positions(
        alpha in 0.02f64..5.0, bound in 0.0f64..0.6, seed: u64,
    ) {
        let joint = TabularJoint::random(2, 3, alpha, seed).unwrap();
        let law = distance(&generator(&joint, 1, demask(exact(&joint), bound)), &joint, &[3, 3]);
        let pair = distance_of(&joint, &[0, 1]);
        let expected = if pair < bound { pair } else { 0.0 };
        prop_assert!((law - expected).abs() < ZERO, "{} {}", law, pair);
    }
}

/// Under the assumption of the paper, which is checked here for each step.
#[test]
fn a_bound_on_true_influences_holds_where_they_are_sub_additive() {
    let mut more = 0;
    for joint in joints() {
        for bound in [0.02, 0.1, 0.2, 0.4, 0.7] {
            let positions = first_step(&joint, demask(exact(&joint), bound));
            if positions.len() > 1 && sub_additive(&joint, &positions) {
                let distance = distance_of(&joint, &positions);
                assert!(distance < bound, "{positions:?}: {distance}, bound {bound}");
                more += usize::from(positions.len() > 2);
            }
        }
    }
    assert!(more > 50, "{more}");
}

/// Parity breaks the assumption: a single bit has no influence, but two bits have.
#[test]
fn parity_breaks_the_assumption() {
    let joint = parity();
    assert!(!sub_additive(&joint, &[0, 1, 2]));
    let at_once = generator(&joint, 1, demask(exact(&joint), 0.01));
    assert!((distance(&at_once, &joint, &joint.masked()) - 0.5).abs() < ZERO);
    for (bound, expected) in [(0.4, 1), (0.6, 2)] {
        let positions = first_step(&joint, demask(GiniBound, bound));
        assert_eq!(positions.len(), expected);
        assert!(expected == 1 || distance_of(&joint, &positions) < bound);
    }
}

/// Broken on purpose: compares each pair with the bound, and ignores their sum.
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
fn ignoring_the_sum_is_detected() {
    let (_, _, broken) = count_first_steps(|_, bound| EachPair { influence: GiniBound, bound });
    assert!(broken > 5, "{broken}");
    let (_, _, broken) =
        count_first_steps(|joint, bound| EachPair { influence: exact(joint), bound });
    assert!(broken > 5, "{broken}");
}

#[test]
fn influences_that_are_too_small_are_detected() {
    let (_, _, broken) = count_first_steps(|_, bound| demask(Everywhere(0.0), bound));
    assert!(broken > 50, "{broken}");
}

#[test]
fn invalid_influences_are_rejected() {
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
