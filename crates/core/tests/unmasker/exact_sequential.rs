//! `ExactSequential` samples the model's joint, in every order.

use crate::common::{Peeking, distance, generator, orders, over};
use conjoint_core::Generator;
use conjoint_core::unmasker::ExactSequential;
use conjoint_testkit::{TabularDenoiser, TabularJoint};

/// In every order. It reveals one token a step, whatever the schedule.
fn variants(oracle: &TabularDenoiser, _: usize) -> Vec<(String, Generator)> {
    let sequential = |order| over(oracle.clone(), 2, ExactSequential::new(order));
    orders().into_iter().map(|(name, order)| (name.to_owned(), sequential(order))).collect()
}

samples_the_joint!(variants);

/// The same measure detects a strategy whose position depends on the drawn tokens.
#[test]
fn a_position_that_depends_on_the_token_is_detected() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let peeking = distance(&generator(&joint, 1, Peeking), &joint, &joint.masked());
    assert!(peeking > 0.05, "{peeking}");
}
