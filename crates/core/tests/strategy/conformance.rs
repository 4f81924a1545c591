//! Every strategy passes the conformance suite.

use std::sync::Arc;

use crate::common::{orders, together};
use conjoint_core::influence::GiniBound;
use conjoint_core::policy::{Demask, Dilated, Klass, Origin, SlowFast};
use conjoint_core::reviser::Edit;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{
    AdaptiveJoint, Bound, ClippedJoint, Confidence, Copula, EnergyResampling, ExactSequential,
    LearnedJoint, LocalAutoregression, Marginal, PathPlanning, PrefixAcceptance, ReMdm, Score,
    VerifiedJoint,
};
use conjoint_core::{Order, strategy};
use conjoint_testkit::conformance::{ProbeLayer, ProbeScorer, Suite};

/// A strategy's name, its suite, and a function that creates it.
type Line<Make> = (&'static str, Suite, Make);

type Ordered = fn(Arc<dyn Order>) -> Strategy;

type Unordered = fn() -> Strategy;

/// Every strategy that takes an order.
fn ordered() -> [Line<Ordered>; 6] {
    let suite = Suite::default;
    [
        ("sequential", suite(), |order| ExactSequential::new(order).into()),
        ("marginal", suite(), |order| Marginal::new(order).into()),
        ("learned joint", suite(), |order| LearnedJoint::new(ProbeLayer).order(order).into()),
        ("learned joint in a window", suite(), |order| {
            LearnedJoint::new(ProbeLayer).order(order).window(1).unwrap().into()
        }),
        ("DEMASK", suite(), |order| together(Demask::new(GiniBound, 2.0).unwrap().order(order))),
        ("adaptive joint", suite().moves_per_position(2), |order| {
            adaptive(Bound::Entropy(1.0)).order(order).into()
        }),
    ]
}

/// Every strategy without an order.
fn unordered() -> [Line<Unordered>; 10] {
    let suite = Suite::default;
    [
        ("confidence, raw", suite(), || Confidence::new(Score::Raw).into()),
        ("confidence, filtered", suite(), || Confidence::new(Score::Filtered).into()),
        ("KLASS", suite(), || strategy::klass(Klass::new(0.3, 1.0, 1).unwrap())),
        ("SlowFast", suite(), || strategy::slow_fast(SlowFast::new(2, 0.3, 0.5).unwrap())),
        ("dilated", suite(), || together(Dilated::default())),
        ("dilated by three", suite(), || together(Dilated::new(3).unwrap())),
        ("CoDiLA", suite(), || LocalAutoregression::new(ProbeScorer, 3).unwrap().into()),
        ("CoDiLA within a bound", suite(), || {
            LocalAutoregression::new(ProbeScorer, 4).unwrap().bound(1.2).unwrap().into()
        }),
        ("origin", suite(), || together(Origin::new(8).unwrap())),
        ("adaptive joint by confidence", suite().moves_per_position(2), || {
            adaptive(Bound::Confidence(0.4)).into()
        }),
    ]
}

fn adaptive(bound: Bound) -> AdaptiveJoint {
    AdaptiveJoint::new(ProbeLayer, bound).unwrap()
}

#[test]
fn every_strategy_in_every_order_passes() {
    for (name, suite, make) in ordered() {
        for (order_name, order) in orders() {
            suite.strategy(&format!("{name}, {order_name}"), || make(order.clone())).unwrap();
        }
    }
    for (name, suite, make) in unordered() {
        suite.strategy(name, make).unwrap();
    }
}

/// Strategies with a second model.
#[test]
fn scored_strategies_pass() {
    let pass = |name: &str, make: &dyn Fn() -> Strategy| {
        Suite::default().strategy(name, make).unwrap();
    };
    pass("energy resampling", &|| EnergyResampling::new(ProbeScorer).into());
    pass("prefix acceptance", &|| PrefixAcceptance::new(ProbeScorer).into());
    pass("greedy prefix acceptance", &|| PrefixAcceptance::new(ProbeScorer).greedy().into());
    pass("clipped joint", &|| ClippedJoint::new(ProbeLayer).into());
    let copula = || Copula::new(ProbeScorer);
    Suite::default().extra_forwards().strategy("copula", copula).unwrap();
}

/// Drafting is a move too.
#[test]
fn verified_joint_passes() {
    let suite = Suite::default().moves_per_position(4).extra_forwards();
    for k in [1, 2, 4, 9] {
        let verified = || VerifiedJoint::new(ProbeLayer, k).unwrap();
        suite.strategy("verified", verified).unwrap();
        suite.strategy("verified, any order", || verified().any_order()).unwrap();
    }
}

#[test]
fn remdm_passes() {
    let suite = Suite::default().moves_per_position(4).extra_forwards();
    for (name, strategy) in [
        ("ancestral", ReMdm::cap(0.0).unwrap()),
        ("ReMDM-cap", ReMdm::cap(0.3).unwrap()),
        ("ReMDM-rescale", ReMdm::rescale(0.6).unwrap()),
        ("ReMDM-conf", ReMdm::conf()),
        ("ReMDM-loop", ReMdm::looping(0.3, 0.75, 0.5, 0.6).unwrap()),
    ] {
        suite.strategy(name, || strategy.clone()).unwrap();
    }
}

#[test]
fn wino_passes() {
    let suite = Suite::default().extra_forwards();
    suite.strategy("WINO", || strategy::wino(0.6, 0.9).unwrap()).unwrap();
    suite.strategy("WINO that revokes all", || strategy::wino(0.2, 1.0).unwrap()).unwrap();
}

#[test]
fn rcr_passes() {
    for score in [Score::Raw, Score::Filtered] {
        Suite::default().strategy("RCR", || strategy::rcr(score)).unwrap();
    }
}

#[test]
fn path_planning_passes() {
    let suite = Suite::default().moves_per_position(4).extra_forwards();
    for eta in [0.0, 1.0, 4.0] {
        suite.strategy("P2", || PathPlanning::new(eta).unwrap()).unwrap();
    }
}

#[test]
fn edit_threshold_passes() {
    for edit in [0.0, 0.5, 1.0] {
        let bounds = Edit::new(edit).unwrap();
        // A full block of one position takes up to 16 further steps.
        let suite = Suite::default().extra_forwards().moves_per_position(17);
        let edit = |edit| strategy::edit_threshold(0.3, edit).unwrap();
        suite.strategy("LLaDA2.1", || edit(bounds.clone())).unwrap();
        let none_after = || edit(bounds.clone().post_steps(0));
        Suite::default().strategy("LLaDA2.1, no steps after", none_after).unwrap();
    }
}
