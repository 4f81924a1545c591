//! How many positions the policies compute: the table of `docs/strategies.md`.

use conjoint_core::Canvas;
use conjoint_core::cache::{BlockCausal, Delayed, Dual, Planner, Prefix, Vicinity};
use conjoint_core::denoiser::{Changed, SequenceId, SequenceInput};

use crate::Cache;

/// The mean number of positions that a forward computes: 128 given tokens, 256 generated from left to right in blocks of 32,
/// K a step.
fn positions_per_forward(policy: Cache, k: usize) -> f64 {
    let mut planner = Planner::new(policy);
    let mut canvas = Canvas::new(&[0; 128], 256, 1).unwrap();
    let (mut changed, mut computed, mut forwards) = (Changed::All, 0, 0);
    for step in (128..384).step_by(k) {
        let start = step / 32 * 32;
        canvas = canvas.in_block(start..start + 32).unwrap();
        let required: Vec<usize> = canvas.masked().collect();
        let input = SequenceInput { id: Some(SequenceId(0)), canvas: &canvas, changed: &changed };
        computed += planner.plan(&input, &required).compute.len();
        forwards += 1;
        (step..step + k).for_each(|position| canvas.reveal(position, 0).unwrap());
        changed = Changed::Positions((step..step + k).collect());
    }
    f64::from(computed as u32) / f64::from(forwards)
}

#[test]
fn positions_per_forward_are_those_of_the_documentation() {
    let policies: [(Cache, [f64; 2]); 6] = [
        (Box::new(Prefix::new()), [151.5, 174.0]),
        (Box::new(Prefix::new().delay(1)), [159.0, 204.0]),
        (Box::new(Dual::new()), [43.0, 76.0]),
        (Box::new(Vicinity::new(16)), [72.0625, 102.25]),
        (Box::new(Delayed::new(1).unwrap()), [136.96875, 163.5]),
        (Box::new(BlockCausal::new(32).unwrap()), [33.375, 37.5]),
    ];
    for (policy, expected) in policies {
        let of = |k| positions_per_forward(policy.clone(), k);
        // Sums of integers over powers of two: the means are exact.
        assert_eq!([of(1), of(4)], expected);
    }
}
