use super::{Filter, FilterRow, most_probable_first};
use crate::Error;

/// Keeps the k most probable tokens.
///
/// Among equals at the edge the lower id stays, so that never more than k are left. Found by
/// selection, in time linear in V.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    /// # Errors
    /// [`Error::Parameter`] if k is 0.
    pub fn new(k: usize) -> Result<Self, Error> {
        if k == 0 {
            return Err(Error::parameter("top-k", k, "at least 1"));
        }
        Ok(Self(k))
    }
}

impl Filter for TopK {
    fn apply(&self, row: &mut FilterRow<'_>) {
        row.gather();
        if row.scratch.len() > self.0 {
            row.scratch.select_nth_unstable_by(self.0 - 1, most_probable_first);
            for &(_, token) in &row.scratch[self.0..] {
                row.logits[token as usize] = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::support;

    #[test]
    fn keeps_exactly_k_and_the_lower_id_among_equals() {
        let top2 = TopK::new(2).unwrap();
        assert_eq!(support(&top2, &[0.0, 3.0, 1.0, 2.0]), [1, 3]);
        assert_eq!(support(&top2, &[1.0, 1.0, 1.0]), [0, 1]);
        assert_eq!(support(&top2, &[1.0]), [0]);
        assert!(TopK::new(0).is_err());
    }
}
