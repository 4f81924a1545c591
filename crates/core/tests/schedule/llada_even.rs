//! `LladaEven`: exact with as many steps as positions.

use crate::common::ZERO;
use crate::laws::from_joint;
use conjoint_core::schedule::LladaEven;
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;

#[test]
fn one_token_a_step_is_exact() {
    let joint = TabularJoint::random(3, 3, 0.5, 12).unwrap();
    assert!(from_joint(&joint, LladaEven::new(3).unwrap(), Marginal::default()) < ZERO);
}
