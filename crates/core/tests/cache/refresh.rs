//! Caches that are refreshed in every forward give the tokens of a model without a cache.

use conjoint_core::Generator;

use crate::{approximate, generators, model, outputs};

#[test]
fn refresh_at_every_step_is_no_cache() {
    let (seeds, mut differ) = (0..24, 0);
    let without = generators(model(3));
    let tokens = |generator: &Generator, seed| -> Vec<_> {
        outputs(generator, seed, 4)
            .into_iter()
            .map(|output| (output.tokens, output.steps))
            .collect()
    };
    let policies = approximate(1).into_iter().zip(approximate(u32::MAX));
    for ((name, fresh), (_, stale)) in policies {
        let fresh = generators(model(3).with_cache(fresh));
        let stale = generators(model(3).with_cache(stale));
        for (((what, without), (_, fresh)), (_, stale)) in without.iter().zip(&fresh).zip(&stale) {
            assert!(fresh.start(vec![]).unwrap().is_exact(), "{name}");
            assert!(!stale.start(vec![]).unwrap().is_exact(), "{name}");
            for seed in seeds.clone() {
                let expected = tokens(without, seed);
                assert_eq!(tokens(fresh, seed), expected, "{name}, {what}, seed {seed}");
                differ += usize::from(tokens(stale, seed) != expected);
            }
        }
    }
    // Without the refresh the caches are stale.
    assert!(differ > 100, "{differ}");
}
