//! Every scheduling policy with every unmasker and every reviser. Valid combinations pass the conformance suite. The others
//! are rejected with a reason before anything runs.

use std::sync::Arc;

use crate::common;

use conjoint_core::influence::GiniBound;
use conjoint_core::order::{Confidence as ByConfidence, Entropy};
use conjoint_core::policy::{
    BlockStates, Demask, Dilated, DynPolicy, EarlyCommit, Hierarchical, Klass, LocalLeap, Origin,
    Ranked, Saber, SlowFast,
};
use conjoint_core::reviser::{self, DynReviser, Edit, Rcr, Wino};
use conjoint_core::schedule::{
    Cosine, DreamLinear, EntropyBound, Factor, Linear, LladaEven, Threshold, TokensPerStep,
    WideThreshold,
};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{
    AdaptiveJoint, Bound, ClippedJoint, Confidence, Control, Copula, DynUnmasker, EnergyResampling,
    ExactSequential, LearnedJoint, LocalAutoregression, Marginal, PathPlanning, PrefixAcceptance,
    ReMdm, Score, Unmasker, VerifiedJoint,
};
use conjoint_core::{Error, Generator, Schedule};
use conjoint_testkit::conformance::{ProbeLayer, ProbeScorer, Suite, Violation};

type Policies = Vec<(&'static str, Box<dyn DynPolicy>)>;
type Unmaskers = Vec<(&'static str, Box<dyn DynUnmasker>)>;
type Revisers = Vec<(&'static str, Option<Box<dyn DynReviser>>)>;

/// Every scheduling policy by name. Those with a total number of steps have 8.
fn policies() -> Policies {
    let by_entropy = |schedule: Arc<dyn Schedule>| Ranked::new(Entropy, schedule).boxed();
    let by_confidence = |schedule: Arc<dyn Schedule>| Ranked::new(ByConfidence, schedule).boxed();
    vec![
        ("per-step", by_entropy(Arc::new(TokensPerStep::new(3).unwrap()))),
        ("dream", by_entropy(Arc::new(DreamLinear::new(8).unwrap()))),
        ("llada", by_entropy(Arc::new(LladaEven::new(8).unwrap()))),
        ("linear", by_entropy(Arc::new(Linear::new(8).unwrap()))),
        ("cosine", by_entropy(Arc::new(Cosine::new(8).unwrap()))),
        ("threshold", by_confidence(Arc::new(Threshold::new(0.4).unwrap()))),
        ("wide threshold", by_confidence(Arc::new(WideThreshold::new(0.4).unwrap()))),
        ("factor", by_confidence(Arc::new(Factor::default()))),
        ("entropy-bound", by_entropy(Arc::new(EntropyBound::new(1.0).unwrap()))),
        ("klass", Klass::new(0.3, 1.0, 1).unwrap().boxed()),
        ("slow-fast", SlowFast::new(2, 0.3, 0.4).unwrap().boxed()),
        ("dilated", Dilated::default().boxed()),
        ("demask", Demask::new(GiniBound, 2.0).unwrap().boxed()),
        ("origin", Origin::new(8).unwrap().boxed()),
        ("local-leap", LocalLeap::new(0.5, 0.3, 2).unwrap().boxed()),
        ("hierarchical", Hierarchical::new(0.6, 0.3).unwrap().boxed()),
        ("saber", Saber::default().boxed()),
        ("early-commit", early_commit()),
        ("block-states", BlockStates::new(0.8, 0.5).unwrap().boxed()),
    ]
}

/// An early commit that happens in about half of the cases.
fn early_commit() -> Box<dyn DynPolicy> {
    let two = Ranked::new(Entropy, TokensPerStep::new(2).unwrap());
    EarlyCommit::new(two, 0..2).unwrap().gaps([1.0, 0.8, 0.5]).unwrap().boxed()
}

/// Every unmasker by name.
fn unmaskers() -> Unmaskers {
    let adaptive = AdaptiveJoint::new(ProbeLayer, Bound::Entropy(1.0)).unwrap();
    vec![
        ("marginal", Marginal::default().boxed()),
        ("confidence, raw", Confidence::new(Score::Raw).boxed()),
        ("confidence, filtered", Confidence::new(Score::Filtered).boxed()),
        ("joint", LearnedJoint::new(ProbeLayer).boxed()),
        ("joint, window", LearnedJoint::new(ProbeLayer).window(1).unwrap().boxed()),
        ("adaptive-joint", adaptive.boxed()),
        ("clipped-joint", ClippedJoint::new(ProbeLayer).boxed()),
        ("energy", EnergyResampling::new(ProbeScorer).boxed()),
        ("exact", ExactSequential::default().boxed()),
        ("verified", VerifiedJoint::new(ProbeLayer, 3).unwrap().boxed()),
        ("copula", Copula::new(ProbeScorer).boxed()),
        ("prefix-acceptance", PrefixAcceptance::new(ProbeScorer).boxed()),
        ("CoDiLA", LocalAutoregression::new(ProbeScorer, 3).unwrap().boxed()),
        ("P2", PathPlanning::default().boxed()),
        ("ReMDM, whole", ReMdm::default().boxed()),
    ]
}

/// Every reviser by name.
fn revisers() -> Revisers {
    vec![
        ("none", None),
        ("WINO", Some(Wino::new(0.9).unwrap().boxed())),
        ("edit", Some(Edit::new(0.3).unwrap().post_steps(3).boxed())),
        ("RCR", Some(Rcr::default().boxed())),
        ("ReMDM", Some(reviser::ReMdm::rescale(0.5).unwrap().boxed())),
        ("hierarchical", Some(reviser::Hierarchical::new(0.5).unwrap().boxed())),
        ("Saber", Some(reviser::Saber::default().boxed())),
    ]
}

fn strategy(
    unmasker: &dyn DynUnmasker,
    policy: Option<&dyn DynPolicy>,
    reviser: Option<&dyn DynReviser>,
) -> Strategy {
    let strategy = Strategy::new(unmasker.boxed());
    let strategy = match policy {
        Some(policy) => strategy.policy(policy.boxed()),
        None => strategy,
    };
    match reviser {
        Some(reviser) => strategy.reviser(reviser.boxed()),
        None => strategy,
    }
}

/// The reason for which a combination is rejected, if it is.
fn outcome(suite: &Suite, name: &str, strategy: &Strategy) -> Option<Error> {
    match suite.strategy(name, || strategy.clone()) {
        Ok(()) => None,
        Err(Violation::Failed { source, .. })
            if matches!(*source, Error::Combination { .. } | Error::NeedsSteps { .. }) =>
        {
            Some(*source)
        }
        Err(violation) => panic!("{violation}"),
    }
}

/// Whether an unmasker declares that it goes with a policy and a reviser.
fn allowed(
    unmasker: &dyn DynUnmasker,
    policy: &dyn DynPolicy,
    reviser: Option<&dyn DynReviser>,
) -> bool {
    let takes_policy = unmasker.control() == Control::Policy;
    let needs_steps = reviser.is_some_and(|reviser| reviser.needs_steps());
    let needs_all = reviser.is_some_and(|reviser| reviser.needs_whole_selection());
    takes_policy
        && (policy.steps().is_some() || !needs_steps)
        && (unmasker.reveals_selection() || !needs_all)
}

/// The table: 19 policies, 15 unmaskers and 7 revisers.
#[test]
fn valid_combinations_pass_and_the_others_are_rejected() {
    // A token that is masked again costs another move, and revisers may keep a full block open.
    let suite = Suite::default().moves_per_position(64).extra_forwards();
    let (mut passed, mut rejected) = (0, 0);
    for (policy_name, policy) in policies() {
        for (unmasker_name, unmasker) in unmaskers() {
            for (reviser_name, reviser) in revisers() {
                let name = format!("{unmasker_name} + {policy_name} + {reviser_name}");
                let reviser = reviser.as_deref();
                let strategy = strategy(&*unmasker, Some(&*policy), reviser);
                let outcome = outcome(&suite, &name, &strategy);
                let expected = allowed(&*unmasker, &*policy, reviser);
                assert_eq!(outcome.is_none(), expected, "{name}: {outcome:?}");
                let count = if expected { &mut passed } else { &mut rejected };
                *count += 1;
            }
        }
    }
    println!("{passed} combinations of policy, unmasker and reviser pass, {rejected} are rejected");
    // 8 unmaskers take a policy. All 19 policies go with the 6 revisers that need no total number of steps, but
    // the unmasker that may stop early takes only 3 of these. The 5 policies with a total go with the reviser that needs it.
    let expected = 7 * (19 * 6 + 5) + (19 * 3 + 5);
    assert_eq!((passed, rejected), (expected, 19 * 15 * 7 - expected));
}

/// Unmaskers without a policy, with the revisers.
#[test]
fn revisers_without_a_policy() {
    let suite = Suite::default().moves_per_position(64).extra_forwards();
    for (name, unmasker) in unmaskers() {
        for (reviser_name, reviser) in revisers() {
            let Some(reviser) = reviser.filter(|reviser| !reviser.needs_steps()) else { continue };
            let name = format!("{name} + {reviser_name}");
            let outcome = outcome(&suite, &name, &strategy(&*unmasker, None, Some(&*reviser)));
            let fixed = [Control::OrderAlone, Control::Steps, Control::Alone];
            let is_valid = !fixed.contains(&unmasker.control())
                && (unmasker.reveals_selection() || !reviser.needs_whole_selection());
            assert_eq!(outcome.is_none(), is_valid, "{name}: {outcome:?}");
        }
    }
}

/// Every error names both sides and the fix.
#[test]
fn errors_name_both_sides_and_the_fix() {
    let joint = common::parity();
    let generator = || Generator::new(common::oracle(&joint));
    let two = || TokensPerStep::new(2).unwrap();
    let marginal = || generator().unmasker(Marginal::default());
    let p2 = || generator().unmasker(PathPlanning::default());
    let exact = || generator().unmasker(ExactSequential::default());
    let verified = || generator().unmasker(VerifiedJoint::new(ProbeLayer, 2).unwrap());
    let copula = || generator().unmasker(Copula::new(ProbeScorer));
    let alone = || generator().unmasker(PrefixAcceptance::new(ProbeScorer));
    for (generator, words) in [
        (marginal().policy(Klass::default()).schedule(two()), ["Klass and a schedule", "leave"]),
        (marginal().policy(Klass::default()).order(Entropy), ["Klass and an order", "leave"]),
        (generator().unmasker(Marginal::new(Entropy)).order(Entropy), ["a second order", "one of"]),
        (exact().schedule(two()), ["a schedule", "use Marginal or LearnedJoint"]),
        (exact().policy(Dilated::default()), ["Dilated", "use Marginal"]),
        (verified().policy(Dilated::default()), ["Dilated", "use Marginal"]),
        (verified().schedule(two()), ["a schedule", "use Marginal or LearnedJoint"]),
        (verified().reviser(Wino::default()), ["Wino", "leave the reviser out"]),
        (copula().policy(Dilated::default()), ["Dilated", "set a schedule instead"]),
        (copula().order(Entropy), ["an order", "leave the order out"]),
        (alone().schedule(two()), ["a schedule", "leave the schedule out"]),
        (alone().policy(Dilated::default()), ["Dilated", "leave the policy out"]),
        (alone().order(Entropy), ["an order", "leave the order out"]),
        (p2().reviser(Rcr::default()), ["Rcr", "leave the reviser out"]),
        (
            generator()
                .unmasker(conjoint_core::strategy::klass(Klass::default()))
                .policy(Dilated::default()),
            ["a second policy", "use its unmasker alone"],
        ),
        (
            generator().unmasker(conjoint_core::strategy::rcr(Score::Raw)).reviser(Wino::default()),
            ["a second reviser", "use its unmasker alone"],
        ),
    ] {
        let error = generator.check(&[]).unwrap_err();
        assert!(matches!(error, Error::Combination { .. }), "{error}");
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
    let remdm = marginal().reviser(reviser::ReMdm::default()).check(&[]).unwrap_err();
    assert!(matches!(remdm, Error::NeedsSteps { strategy: "ReMdm" }), "{remdm}");
}
