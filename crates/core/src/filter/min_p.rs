use super::{Filter, FilterRow};
use crate::top_k_rows::{TopKRequest, TopRow};
use crate::{Error, range, row_kernels};

/// Keeps the tokens with p ≥ m · p₁, where p₁ is the largest probability of the row.
///
/// Source: Nguyen et al., arXiv 2407.01082.
#[doc(alias = "min-p")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinP(f32);

impl MinP {
    /// Creates the filter with m, which must be from 0 to 1. At 0 it keeps all tokens.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ m ≤ 1.
    pub fn new(m: f64) -> Result<Self, Error> {
        Ok(Self(range::probability("min-p", m)?.ln() as f32))
    }
}

impl Filter for MinP {
    fn apply(&self, row: &mut FilterRow<'_>) {
        let edge = row_kernels::largest(row.logits) + self.0;
        for logit in row.logits.iter_mut() {
            // A select instead of a branch, so that the loop is vectorised.
            *logit = if *logit < edge { f32::NEG_INFINITY } else { *logit };
        }
    }

    fn request_top_k(&self, _: &mut TopKRequest) -> bool {
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        let Some(&(max, _)) = row.entries().first() else { return !row.has_rest() };
        let edge = max + self.0;
        match row.entries().iter().position(|&(logit, _)| logit < edge) {
            Some(kept) => row.keep(kept),
            // The top is kept whole. Only the whole row shows how much of the rest stays.
            None if row.has_rest() => return self.0 == f32::NEG_INFINITY,
            None => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::support;

    #[test]
    fn keeps_what_is_near_the_best() {
        let logits: Vec<f32> = [0.6f32, 0.3, 0.1].iter().map(|p| p.ln()).collect();
        assert_eq!(support(&MinP::new(0.4).unwrap(), &logits), [0, 1]);
        assert_eq!(support(&MinP::new(0.0).unwrap(), &logits), [0, 1, 2]);
        assert_eq!(support(&MinP::new(1.0).unwrap(), &logits), [0]);
        assert!(MinP::new(1.5).is_err() && MinP::new(f64::NAN).is_err());
    }
}
