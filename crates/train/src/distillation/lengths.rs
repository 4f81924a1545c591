//! Trajectories by length. The rows of a batch have one length, so that none is padded.

use std::collections::BTreeMap;

use conjoint_trajectory::Trajectory;
use rand::RngExt;

use crate::masking;

/// Trajectories, grouped by their number of positions.
pub(crate) struct ByLength<'a> {
    groups: Vec<Vec<&'a Trajectory>>,
    count: usize,
}

/// Separates the random streams of the lengths from those of the states.
const LENGTHS: u64 = 0x6c65_6e67_7468;

impl<'a> ByLength<'a> {
    pub fn new(trajectories: &'a [Trajectory]) -> Self {
        let mut groups: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for trajectory in trajectories {
            groups.entry(trajectory.tokens.len()).or_default().push(trajectory);
        }
        Self { groups: groups.into_values().collect(), count: trajectories.len() }
    }

    /// The trajectories of which step `step` takes its rows. A length has the probability of its share of the trajectories.
    pub fn of_step(&self, seed: u64, step: u64) -> &[&'a Trajectory] {
        let mut number = masking::stream(seed ^ LENGTHS, step).random_range(0..self.count.max(1));
        let group = self.groups.iter().find(|group| {
            let is_in = number < group.len();
            number = number.saturating_sub(group.len());
            is_in
        });
        group.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trajectories(lengths: &[usize]) -> Vec<Trajectory> {
        let row = |(index, &length): (usize, &usize)| Trajectory {
            index: index as u64,
            prompt_len: 0,
            tokens: vec![1; length],
            order: (0..length as u32).collect(),
        };
        lengths.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_step_takes_one_length_with_the_probability_of_its_share() {
        let all = trajectories(&[9, 5, 9, 7, 9, 5, 9, 9]);
        let by_length = ByLength::new(&all);
        let mut seen = BTreeMap::new();
        for step in 0..800 {
            let group = by_length.of_step(3, step);
            let length = group[0].tokens.len();
            let expected: Vec<_> = all.iter().filter(|row| row.tokens.len() == length).collect();
            assert_eq!(group, expected);
            *seen.entry(length).or_insert(0_usize) += 1;
        }
        // Means 200, 100 and 500; standard deviations of at most 14.
        for (length, expected) in [(5, 200), (7, 100), (9, 500)] {
            assert!(seen[&length].abs_diff(expected) < 70, "{seen:?}");
        }
        let lengths = |seed| {
            (0..20)
                .map(move |step| (seed, step))
                .map(|(seed, step)| by_length.of_step(seed, step).len())
        };
        assert!(lengths(3).eq(lengths(3)) && lengths(3).ne(lengths(4)));
        assert!(ByLength::new(&[]).of_step(0, 0).is_empty());
    }
}
