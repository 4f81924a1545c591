//! Helpers for tests of distillation.

use conjoint_trajectory::Trajectory;

use crate::model::testing::echo;

/// Trajectories over rows of [`echo`], in various orders.
pub(crate) fn trajectories(count: u64) -> Vec<Trajectory> {
    let trajectory = |i: u64| {
        let order = (0..8).map(|k| ((k * 3 + i) % 8) as u32).collect();
        Trajectory { index: i, prompt_len: 0, tokens: echo(5)(i * 37).unwrap(), order }
    };
    (0..count).map(trajectory).collect()
}
