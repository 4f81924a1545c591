//! `Cosine`: exact with so many steps that none reveals two tokens.

use crate::common::ZERO;
use crate::laws::from_joint;
use conjoint_core::schedule::Cosine;
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;

#[test]
fn one_token_a_step_is_exact() {
    let joint = TabularJoint::random(3, 3, 0.5, 12).unwrap();
    assert!(from_joint(&joint, Cosine::new(40).unwrap(), Marginal::default()) < ZERO);
    // The floor rule leaves two tokens for the last step.
    assert!(from_joint(&joint, Cosine::floor(3).unwrap(), Marginal::default()) > 0.05);
}
