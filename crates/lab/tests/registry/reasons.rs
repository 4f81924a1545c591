//! Every rejected combination names both sides and what to do.

use conjoint::Error as SamplingError;
use conjoint::policy::{Dilated, Klass};
use conjoint::prelude::*;
use conjoint::reviser::{self, Rcr, Wino};
use conjoint::strategy::{klass, rcr};
use conjoint::unmasker::{Copula, PathPlanning, PrefixAcceptance};
use conjoint_testkit::conformance::{ProbeLayer, ProbeScorer};
use conjoint_testkit::{TabularDenoiser, TabularJoint};

fn generator() -> Generator {
    let coins = TabularJoint::new(2, 2, &[0.5, 0.0, 0.0, 0.5]).unwrap();
    Generator::new(TabularDenoiser::new(coins).unwrap())
}

#[track_caller]
fn rejected(generator: Generator, words: [&str; 2]) {
    let error = generator.check(&[]).unwrap_err();
    assert!(matches!(error, SamplingError::Combination { .. }), "{error}");
    let error = error.to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
}

fn two() -> TokensPerStep {
    TokensPerStep::new(2).unwrap()
}

#[test]
fn a_policy_excludes_a_schedule_and_an_order() {
    let marginal = || generator().unmasker(Marginal::default());
    let policy = || marginal().policy(Klass::default());
    rejected(policy().schedule(two()), ["Klass and a schedule", "leave"]);
    rejected(policy().order(Entropy), ["Klass and an order", "leave"]);
    let ordered = generator().unmasker(Marginal::new(Entropy));
    rejected(ordered.order(Entropy), ["a second order", "one of"]);
}

#[test]
fn unmaskers_that_take_no_policy_name_an_alternative() {
    let exact = || generator().unmasker(ExactSequential::default());
    let verified = || generator().unmasker(VerifiedJoint::new(ProbeLayer, 2).unwrap());
    let copula = || generator().unmasker(Copula::new(ProbeScorer));
    let prefix = || generator().unmasker(PrefixAcceptance::new(ProbeScorer));
    for (generator, words) in [
        (exact().schedule(two()), ["a schedule", "use Marginal or LearnedJoint"]),
        (exact().policy(Dilated::default()), ["Dilated", "use Marginal"]),
        (verified().policy(Dilated::default()), ["Dilated", "use Marginal"]),
        (verified().schedule(two()), ["a schedule", "use Marginal or LearnedJoint"]),
        (copula().policy(Dilated::default()), ["Dilated", "set a schedule instead"]),
        (copula().order(Entropy), ["an order", "leave the order out"]),
        (prefix().schedule(two()), ["a schedule", "leave the schedule out"]),
        (prefix().policy(Dilated::default()), ["Dilated", "leave the policy out"]),
        (prefix().order(Entropy), ["an order", "leave the order out"]),
    ] {
        rejected(generator, words);
    }
}

#[test]
fn revisers_name_the_part_that_they_exclude() {
    let verified = generator().unmasker(VerifiedJoint::new(ProbeLayer, 2).unwrap());
    rejected(verified.reviser(Wino::default()), ["Wino", "leave the reviser out"]);
    let p2 = generator().unmasker(PathPlanning::default());
    rejected(p2.reviser(Rcr::default()), ["Rcr", "leave the reviser out"]);
    let second = generator().unmasker(rcr(Score::Raw)).reviser(Wino::default());
    rejected(second, ["a second reviser", "use its unmasker alone"]);
    let second = generator().unmasker(klass(Klass::default())).policy(Dilated::default());
    rejected(second, ["a second policy", "use its unmasker alone"]);
    let remdm = generator().unmasker(Marginal::default()).reviser(reviser::ReMdm::default());
    let error = remdm.check(&[]).unwrap_err();
    assert!(matches!(error, SamplingError::NeedsSteps { strategy: "ReMdm" }), "{error}");
}
