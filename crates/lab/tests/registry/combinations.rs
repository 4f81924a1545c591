//! Every policy with every unmasker and every reviser. Those that go together pass the suite. The others are rejected with a
//! reason before anything runs.

use conjoint::Error as SamplingError;
use conjoint::order::Confidence as ByConfidence;
use conjoint::policy::{DynPolicy, EarlyCommit, Ranked};
use conjoint::prelude::*;
use conjoint::reviser::DynReviser;
use conjoint::strategy::Strategy;
use conjoint::unmasker::{Control, DynUnmasker, LocalAutoregression};
use conjoint_lab::Registry;
use conjoint_testkit::conformance::{ProbeScorer, Suite, Violation};

use super::parts::{has_reviser, specs, strategy, unmasker};

type Named<T> = Vec<(String, T)>;

/// The policies of the registry, its schedules by confidence, and the policy that only the library has.
pub fn policies(registry: &Registry) -> Named<Box<dyn DynPolicy>> {
    let mut policies: Named<_> = Vec::new();
    for entry in registry.schedules() {
        for spec in specs(entry.name(), entry.conformance()) {
            let scheduled = registry.schedule(&spec).unwrap();
            let ranked = |schedule| Ranked::new(ByConfidence, schedule).boxed();
            let policy = scheduled.policy().or_else(|| scheduled.quantity().map(ranked));
            policies.push((spec, policy.unwrap()));
        }
    }
    policies.push(("EarlyCommit".to_owned(), early_commit()));
    policies
}

/// Commits in about half of the cases.
fn early_commit() -> Box<dyn DynPolicy> {
    let two = Ranked::new(Entropy, TokensPerStep::new(2).unwrap());
    EarlyCommit::new(two, 0..2).unwrap().gaps([1.0, 0.8, 0.5]).unwrap().boxed()
}

/// The unmaskers of the registry's strategies without a policy or a reviser, and the one that only the library has.
pub fn unmaskers(registry: &Registry) -> Named<Box<dyn DynUnmasker>> {
    let mut unmaskers: Named<_> = Vec::new();
    for entry in registry.unmaskers() {
        for spec in specs(entry.name(), entry.conformance()) {
            let strategy = strategy(registry, &spec, None);
            if !strategy.has_policy() && !has_reviser(&strategy) {
                unmaskers.push((spec, unmasker(&strategy)));
            }
        }
    }
    let spans = LocalAutoregression::new(ProbeScorer, 3).unwrap();
    unmaskers.push(("LocalAutoregression".to_owned(), spans.boxed()));
    unmaskers
}

/// No reviser, and those of the registry.
pub fn revisers(registry: &Registry) -> Named<Option<Box<dyn DynReviser>>> {
    let mut revisers: Named<_> = vec![("none".to_owned(), None)];
    for entry in registry.revisers() {
        for spec in specs(entry.name(), entry.conformance()) {
            let reviser = registry.reviser(&spec).unwrap().reviser();
            revisers.push((spec, Some(reviser)));
        }
    }
    revisers
}

fn combined(
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

/// A remasked token costs another move, and revisers may keep a full block open.
fn suite() -> Suite {
    Suite::default().moves_per_position(64).extra_forwards()
}

/// The reason if a combination is rejected. A combination that fails otherwise fails the test.
fn rejection(name: &str, strategy: &Strategy) -> Option<SamplingError> {
    match suite().strategy(name, || strategy.clone()) {
        Ok(()) => None,
        Err(Violation::Failed { source, .. })
            if matches!(
                *source,
                SamplingError::Combination { .. } | SamplingError::NeedsSteps { .. }
            ) =>
        {
            Some(*source)
        }
        Err(violation) => panic!("{violation}"),
    }
}

/// Whether three parts go together, by what they report of themselves.
pub fn is_allowed(
    unmasker: &dyn DynUnmasker,
    policy: &dyn DynPolicy,
    reviser: Option<&dyn DynReviser>,
) -> bool {
    let needs_steps = reviser.is_some_and(|reviser| reviser.needs_steps());
    let needs_all = reviser.is_some_and(|reviser| reviser.needs_whole_selection());
    unmasker.control() == Control::Policy
        && (policy.steps().is_some() || !needs_steps)
        && (unmasker.reveals_selection() || !needs_all)
}

#[test]
fn combinations_pass_or_are_rejected() {
    let registry = Registry::builtin();
    let (policies, revisers) = (policies(&registry), revisers(&registry));
    for (unmasker_name, unmasker) in unmaskers(&registry) {
        for (policy_name, policy) in &policies {
            for (reviser_name, reviser) in &revisers {
                let name = format!("{unmasker_name} + {policy_name} + {reviser_name}");
                let strategy = combined(&*unmasker, Some(&**policy), reviser.as_deref());
                let rejection = rejection(&name, &strategy);
                let expected = is_allowed(&*unmasker, &**policy, reviser.as_deref());
                assert_eq!(rejection.is_none(), expected, "{name}: {rejection:?}");
            }
        }
    }
}

/// Unmaskers without a policy take a reviser if they fix only where, or only how many.
#[test]
fn revisers_work_without_a_policy() {
    let registry = Registry::builtin();
    let revisers = revisers(&registry);
    for (name, unmasker) in unmaskers(&registry) {
        for (reviser_name, reviser) in &revisers {
            let reviser = reviser.as_deref().filter(|reviser| !reviser.needs_steps());
            let Some(reviser) = reviser else { continue };
            let name = format!("{name} + {reviser_name}");
            let rejection = rejection(&name, &combined(&*unmasker, None, Some(reviser)));
            let fixed = [Control::OrderAlone, Control::Steps, Control::Alone];
            let expected = !fixed.contains(&unmasker.control())
                && (unmasker.reveals_selection() || !reviser.needs_whole_selection());
            assert_eq!(rejection.is_none(), expected, "{name}: {rejection:?}");
        }
    }
}
