//! `DreamLinear`: the steps that reveal nothing.

use crate::common::{blank, generator};
use conjoint_core::TokenId;
use conjoint_core::observer::History;
use conjoint_core::schedule::DreamLinear;
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;

#[test]
fn steps_without_a_reveal_cost_no_forward() {
    let joint = TabularJoint::random(8, 2, 1.0, 3).unwrap();
    let generator =
        generator(&joint, 1, Marginal::default()).schedule(DreamLinear::new(8).unwrap());
    let mut history = History::default();
    let output = &generator.run(vec![blank(&joint)], &mut history).unwrap()[0];
    // 0, 1, 1, 1, 1, 1, 1, 2 tokens.
    assert_eq!((output.steps, output.denoiser_calls), (8, 7));
    assert_eq!(history.of(0)[0], joint.masked());
    let left = |canvas: &Vec<TokenId>| canvas.iter().filter(|&&t| t == joint.mask()).count();
    assert_eq!(history.of(0).iter().map(left).collect::<Vec<_>>(), [8, 7, 6, 5, 4, 3, 2, 0]);
}
