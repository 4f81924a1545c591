//! Strategies that the registry of `conjoint-lab` does not have, and more parameters of those that it has, pass the conformance
//! suite.

use conjoint_core::reviser::Edit;
use conjoint_core::strategy;
use conjoint_core::unmasker::{
    LocalAutoregression, PathPlanning, PrefixAcceptance, ReMdm, Score, VerifiedJoint,
};
use conjoint_testkit::conformance::{ProbeLayer, ProbeScorer, Suite};

#[test]
fn local_autoregression_passes() {
    let spans = |length| LocalAutoregression::new(ProbeScorer, length).unwrap();
    Suite::default().strategy("CoDiLA", || spans(3)).unwrap();
    let within_a_bound = || spans(4).bound(1.2).unwrap();
    Suite::default().strategy("CoDiLA within a bound", within_a_bound).unwrap();
}

#[test]
fn greedy_prefix_acceptance_passes() {
    let greedy = || PrefixAcceptance::new(ProbeScorer).greedy();
    Suite::default().strategy("greedy prefix acceptance", greedy).unwrap();
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
