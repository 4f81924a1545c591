//! Hierarchical remasking: the law of its definition.

use crate::common::policy_law::peak;
use crate::common::policy_law::{Row, entropy, policy_law};
use crate::common::{ZERO, cases, law, oracle};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Generator, reviser};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(24))]

    /// The step masks every revealed position whose largest probability is below ρ, and reveals at least one position more.
    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, rho in 0.4f64..1.0, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let step = |masked: &[Row], known: &[Row], (): ()| {
            let mut ranked: Vec<(f64, usize)> =
                masked.iter().map(|(p, row)| (entropy(row), *p)).collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut revoked: Vec<(f64, usize)> =
                known.iter().map(|(p, row)| (peak(row), *p)).filter(|(c, _)| *c < rho).collect();
            revoked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            revoked.truncate(masked.len() - 1);
            let count = 1.max(revoked.len() + 1).min(masked.len());
            let reveal = ranked[..count].iter().map(|&(_, p)| p).collect();
            (reveal, revoked.into_iter().map(|(_, p)| p).collect(), ())
        };
        let expected = policy_law(&joint, (), step);
        let strategy = Strategy::new(Marginal::default())
            .reviser(reviser::Hierarchical::new(rho).unwrap());
        let distance = law(&Generator::new(oracle(&joint)).unmasker(strategy), &joint).total_variation(&expected);
        prop_assert!(distance < ZERO, "{distance}");
    }
}
