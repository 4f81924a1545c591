use super::{BLOCK, Filter, FilterRow, most_probable_first};
use crate::top_k_rows::{TopKRequest, TopRow};
use crate::{Error, range, row_kernels};

/// Keeps the k most probable tokens.
///
/// Ties at the edge go to the lower id, so at most k tokens stay. The time is linear in V.
#[doc(alias = "top-k")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    /// Creates the filter with k.
    ///
    /// # Errors
    /// [`Error::Parameter`] if k is 0.
    pub fn new(k: usize) -> Result<Self, Error> {
        Ok(Self(range::at_least("top-k", k, 1)?))
    }
}

impl TopK {
    /// A lower bound of the k-th largest logit: the k-th largest maximum of a block.
    fn floor(self, row: &mut FilterRow<'_>) -> f32 {
        let blocks = row.logits.chunks(BLOCK);
        if blocks.len() < self.0 {
            return f32::NEG_INFINITY;
        }
        row.scratch.clear();
        row.scratch.extend(blocks.zip(0..).map(|(block, id)| (row_kernels::largest(block), id)));
        row.scratch.select_nth_unstable_by(self.0 - 1, most_probable_first).1.0
    }
}

impl Filter for TopK {
    fn apply(&self, row: &mut FilterRow<'_>) {
        let floor = self.floor(row);
        row.gather(floor);
        if row.scratch.len() > self.0 {
            row.scratch.select_nth_unstable_by(self.0 - 1, most_probable_first);
        }
        row.keep(self.0.min(row.scratch.len()));
    }

    fn request_top_k(&self, _: &mut TopKRequest) -> bool {
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        let holds = !row.has_rest() || row.entries().len() >= self.0;
        if holds {
            row.keep(self.0);
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::support;
    use proptest::prelude::*;

    #[test]
    fn keeps_exactly_k_and_the_lower_id_among_equals() {
        let top2 = TopK::new(2).unwrap();
        assert_eq!(support(&top2, &[0.0, 3.0, 1.0, 2.0]), [1, 3]);
        assert_eq!(support(&top2, &[1.0, 1.0, 1.0]), [0, 1]);
        assert_eq!(support(&top2, &[1.0]), [0]);
        assert!(TopK::new(0).is_err());
    }

    proptest! {
        #[test]
        fn selection_agrees_with_sorting(
            // Many ties, zeros of both signs and tokens ruled out, over many blocks.
            logits in prop::collection::vec(
                prop_oneof![
                    -4i8..4, Just(i8::MIN), Just(i8::MAX)
                ].prop_map(|x| match x {
                    i8::MIN => f32::NEG_INFINITY,
                    i8::MAX => -0.0,
                    x => f32::from(x),
                }), 1..700),
            k in 1usize..40,
        ) {
            let mut sorted: Vec<usize> =
                (0..logits.len()).filter(|&token| logits[token] > f32::NEG_INFINITY).collect();
            sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            sorted.truncate(k);
            sorted.sort_unstable();
            prop_assert_eq!(support(&TopK::new(k).unwrap(), &logits), sorted);
        }
    }
}
