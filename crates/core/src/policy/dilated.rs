use std::iter::successors;

use super::{Policy, Row, Selection};
use crate::{Error, Observation, range};

/// Reveals dilated groups: positions far apart first, then those between them, in about log_a B forwards for
/// a block of B.
///
/// The strides are s₁ = ⌊B/a⌋, s₂ = ⌊s₁/a⌋, … down to 1. Group k has the places i in the block, counted from
/// 0, that are divisible by sₖ and by no earlier stride. If the last group is smaller than the one before,
/// the two are merged. A step selects the masked positions of the first group that has any. B = 8 and a = 2
/// give {0, 4}, {2, 6}, {1, 3, 5, 7}.
///
/// **Law.** The positions do not depend on the rows. With independent draws it is the product of the
/// marginals within each group, given all groups before it. That is exact if the positions of each group are
/// independent given those before, as in a first-order Markov chain once every second position is known.
/// Source: DUS (arXiv 2506.19037), a = 2, without its optional remasking of uncertain tokens.
#[doc(alias = "DUS")]
#[doc(alias = "dilated unmasking")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dilated {
    base: usize,
}

impl Dilated {
    /// Creates the policy with strides that shrink by the base a.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a is below 2.
    pub fn new(base: usize) -> Result<Self, Error> {
        Ok(Self { base: range::at_least("base", base, 2)? })
    }

    /// The group of each place of a block, counted from 0.
    fn groups(self, length: usize) -> Vec<usize> {
        let shrink = |stride: usize| Some(stride / self.base).filter(|&stride| stride > 0);
        let strides: Vec<usize> = successors(shrink(length), |&stride| shrink(stride)).collect();
        // A block shorter than the base has no stride, and one group.
        let group =
            |place: usize| strides.iter().position(|&s| place.is_multiple_of(s)).unwrap_or(0);
        let mut groups: Vec<usize> = (0..length).map(group).collect();
        let size = |k: usize| groups.iter().filter(|&&group| group == k).count();
        if let Some(before) = strides.len().checked_sub(2).filter(|&k| size(k + 1) < size(k)) {
            groups.iter_mut().for_each(|group| *group = (*group).min(before));
        }
        groups
    }
}

impl Default for Dilated {
    /// a = 2.
    fn default() -> Self {
        Self { base: 2 }
    }
}

impl Policy for Dilated {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let block = rows.canvas().block();
        let groups = self.groups(block.len());
        let group = |row: Row| groups[rows.row(row).position - block.start];
        let first = rows.rows().map(group).min();
        selection.all_of(rows.rows().filter(|&row| Some(group(row)) == first));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(base: usize, length: usize) -> Vec<Vec<usize>> {
        let groups = Dilated::new(base).unwrap().groups(length);
        let members = |k: usize| (0..length).filter(|&place| groups[place] == k).collect();
        let last = groups.iter().max().copied().unwrap_or(0);
        (0..=last).map(members).collect()
    }

    #[test]
    fn from_coarse_to_fine() {
        assert_eq!(groups(2, 8), [vec![0, 4], vec![2, 6], vec![1, 3, 5, 7]]);
        assert_eq!(groups(3, 9), [vec![0, 3, 6], vec![1, 2, 4, 5, 7, 8]]);
        assert_eq!(groups(2, 7), [vec![0, 3, 6], vec![1, 2, 4, 5]]);
        // {0, 2, 4}, then {1, 3}: the last group is smaller, so they are merged.
        assert_eq!(groups(2, 5), [[0, 1, 2, 3, 4]]);
        assert_eq!(groups(4, 3), [[0, 1, 2]]);
        assert_eq!(groups(2, 1), [[0]]);
        assert!(Dilated::new(1).is_err());
    }

    #[test]
    fn the_number_of_groups_is_logarithmic() {
        for (length, forwards) in [(2, 1), (4, 2), (32, 5), (256, 8)] {
            assert_eq!(groups(2, length).len(), forwards);
        }
        for length in 1..200 {
            for base in 2..5 {
                let groups = groups(base, length);
                assert!(groups.iter().all(|group| !group.is_empty()), "{base} {length}");
                assert!(groups.len() <= 1 + length.ilog2() as usize);
            }
        }
    }
}
