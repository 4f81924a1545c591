use conjoint_lab::Registry;
use conjoint_lab::registry::Part;

use super::parts::{orders, specs, strategy, suite};

/// The suite runs each strategy with every schedule that it takes.
#[test]
fn every_strategy_passes_in_every_order() {
    let registry = Registry::builtin();
    let orders = orders(&registry);
    for entry in registry.unmaskers() {
        let suite = suite(entry.conformance());
        for spec in specs(entry.name(), entry.conformance()) {
            if !entry.is_made_of(Part::Order) {
                suite.strategy(&spec, || strategy(&registry, &spec, None)).unwrap();
                continue;
            }
            for (name, order) in &orders {
                let run = format!("{spec}, {name}");
                suite.strategy(&run, || strategy(&registry, &spec, Some(order))).unwrap();
            }
        }
    }
}

/// The suite's own schedules are not those of the registry.
#[test]
fn every_schedule_and_policy_passes_with_independent_draws() {
    let registry = Registry::builtin();
    for entry in registry.schedules() {
        for spec in specs(entry.name(), entry.conformance()) {
            let schedule = registry.schedule(&spec).unwrap();
            let marginal = strategy(&registry, "marginal", None);
            match (schedule.quantity(), schedule.policy()) {
                (Some(schedule), _) => {
                    let suite = suite(entry.conformance()).schedule(&spec, schedule);
                    suite.strategy(&spec, || marginal.clone()).unwrap();
                }
                (None, Some(policy)) => {
                    let strategy = marginal.policy(policy);
                    suite(entry.conformance()).strategy(&spec, || strategy.clone()).unwrap();
                }
                (None, None) => panic!("{spec} is neither a schedule nor a policy"),
            }
        }
    }
}
