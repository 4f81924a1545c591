//! Joints, rules and distances that the tests of several schedules use.

use std::sync::Arc;

use crate::common::{distance, oracle, scheduled};
use crate::common::{forwards, nearly_certain, uncertain};
use conjoint_core::order::MaxProb;
use conjoint_core::schedule::{Progress, Ranking};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Generator, Schedule};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

/// A joint of 3 bits with impossible sequences, which make some positions certain.
pub fn with_certainties() -> impl Strategy<Value = TabularJoint> {
    let weight = prop_oneof![2 => Just(0.0), 3 => 0.1f64..1.0];
    let weights = prop::collection::vec(weight, 8);
    weights.prop_filter_map("all zero", |weights| TabularJoint::new(3, 2, &weights).ok())
}

/// Total variation between the joint and the law of a strategy under a schedule.
pub fn from_joint(
    joint: &TabularJoint,
    schedule: impl Schedule + 'static,
    strategy: impl Into<Unmasking>,
) -> f64 {
    let generator = scheduled(&Generator::new(oracle(joint)).unmasker(strategy), schedule);
    distance(&generator, joint, &joint.masked())
}

/// A schedule that computes its quota from the confidences and entropies of the ranked candidates.
pub struct Rule<F>(pub F);

impl<F: Fn(&[f64], &[f64]) -> usize + Send + Sync> Schedule for Rule<F> {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        let entropies: Vec<f64> = ranked.iter().map(|c| c.stats.entropy).collect();
        let confidences: Vec<f64> = ranked.iter().map(|c| c.confidence).collect();
        (self.0)(&confidences, &entropies)
    }
}

/// Fails unless four positions cost one forward where rows are nearly certain, and one each where they are uniform.
pub fn assert_fewer_forwards(schedule: impl Schedule + 'static) {
    let schedule: Arc<dyn Schedule> = Arc::new(schedule);
    assert_eq!(forwards(&nearly_certain(), schedule.clone(), Marginal::new(MaxProb)), 1);
    assert_eq!(forwards(&uncertain(), schedule, Marginal::new(MaxProb)), 4);
}
