//! `Random`: every permutation of the positions is equally probable.

use crate::common::generator;
use crate::definition::permutations;
use conjoint_core::order::Random;
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;

#[test]
fn is_uniform_over_permutations() {
    let joint = TabularJoint::random(3, 2, 0.5, 6).unwrap();
    for k in 1..=3 {
        let law = permutations(&generator(&joint, k, Marginal::new(Random)), &joint);
        assert_eq!(law.len(), 6);
        assert!(law.iter().all(|(_, p)| (p - 1.0 / 6.0).abs() < 1e-9), "K = {k}");
    }
}
