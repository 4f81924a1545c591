use std::ops::Bound;

use super::{Filter, FilterRow, most_probable_first};
use crate::top_k_rows::{TopKRequest, TopRow};
use crate::{Error, range, row_kernels};

/// Nucleus filter: keeps the smallest set of most probable tokens whose probabilities sum to more than p.
///
/// The token that crosses p stays, as in the reference loops. The time is linear in V on average. Sums of
/// long rows are float32, so the edge is accurate to 1e-6 of the mass. Source: Holtzman et al., arXiv
/// 1904.09751.
#[doc(alias = "top-p")]
#[doc(alias = "nucleus")]
#[doc(alias = "nucleus sampling")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopP(f64);

impl TopP {
    /// Creates the filter with p. At 1 it keeps all tokens.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < p ≤ 1.
    pub fn new(p: f64) -> Result<Self, Error> {
        let range = (Bound::Excluded(0.0), Bound::Included(1.0));
        Ok(Self(range::within("top-p", p, range)?))
    }
}

impl Filter for TopP {
    fn apply(&self, row: &mut FilterRow<'_>) {
        if self.0 >= 1.0 {
            return;
        }
        let max = row_kernels::largest(row.logits);
        if max == f32::NEG_INFINITY {
            return;
        }
        let total = row_kernels::total(row.logits, max);
        // The tokens below the floor weigh less than half of the mass to cut off, so the nucleus lies above it.
        let floor = 0.5 * (1.0 - self.0) * total / row.logits.len() as f64;
        row.gather((f64::from(max) + floor.ln()) as f32);
        let weight = |logit: f32| (f64::from(logit) - f64::from(max)).exp();
        let kept = nucleus(row.scratch, self.0 * total, weight);
        row.keep(kept);
    }

    fn request_top_k(&self, _: &mut TopKRequest) -> bool {
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        let Some(total) = row.total().filter(|_| self.0 < 1.0) else { return self.0 >= 1.0 };
        let (mut left, max) = (self.0 * total, f64::from(row.entries()[0].0));
        let crosses = |&(logit, _): &(f32, u32)| {
            left -= (f64::from(logit) - max).exp();
            left < 0.0
        };
        match row.entries().iter().position(crosses) {
            Some(last) => row.keep(last + 1),
            None if row.has_rest() => return false,
            None => {}
        }
        true
    }
}

/// Partitions `possible` so that its nucleus comes first. Returns the size of the nucleus: the smallest n
/// such that the n most probable tokens weigh more than `target`.
fn nucleus(possible: &mut [(f32, u32)], mut target: f64, weight: impl Fn(f32) -> f64) -> usize {
    let (mut start, mut end) = (0, possible.len());
    // Invariant: everything before `start` is in, everything from `end` on is out.
    while end - start > 1 {
        let half = (end - start) / 2;
        possible[start..end].select_nth_unstable_by(half - 1, most_probable_first);
        let upper: f64 = possible[start..start + half].iter().map(|&(l, _)| weight(l)).sum();
        if upper > target {
            end = start + half;
        } else {
            start += half;
            target -= upper;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::support;
    use proptest::prelude::*;

    #[test]
    fn the_token_that_crosses_p_stays() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        assert_eq!(support(&TopP::new(0.1).unwrap(), &logits), [0]);
        assert_eq!(support(&TopP::new(0.6).unwrap(), &logits), [0, 1]);
        assert_eq!(support(&TopP::new(0.9).unwrap(), &logits), [0, 1, 2]);
        assert_eq!(support(&TopP::new(1.0).unwrap(), &logits), [0, 1, 2, 3]);
        for bad in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(TopP::new(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn selection_agrees_with_sorting(
            logits in prop::collection::vec(-6.0f32..6.0, 1..60), p in 0.01f64..0.99,
        ) {
            let mut sorted: Vec<usize> = (0..logits.len()).collect();
            sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let z: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let mut kept = Vec::new();
            let mut sum = 0.0;
            for token in sorted {
                // Skip draws so close to the edge that rounding decides.
                prop_assume!((sum - p).abs() > 1e-9);
                if sum > p { break; }
                kept.push(token);
                sum += f64::from(logits[token]).exp() / z;
            }
            kept.sort_unstable();
            prop_assert_eq!(support(&TopP::new(p).unwrap(), &logits), kept);
        }

        /// Rows of several blocks, whose weights are float32.
        #[test]
        fn selection_agrees_with_sorting_on_long_rows(
            logits in prop::collection::vec(
                prop_oneof![-6.0f32..6.0, -60.0f32..6.0, Just(2.0f32)], 60..900),
            p in prop_oneof![0.01f64..0.99, 0.99f64..0.99999],
        ) {
            let mut sorted: Vec<usize> = (0..logits.len()).collect();
            sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let z: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
            let mut kept = support(&TopP::new(p).unwrap(), &logits);
            kept.sort_by_key(|&token| sorted.iter().position(|&other| other == token));
            let n = kept.len();
            prop_assert_eq!(&kept, &sorted[..n]);
            let mass = |tokens: &[usize]| -> f64 {
                tokens.iter().map(|&token| f64::from(logits[token]).exp() / z).sum()
            };
            prop_assert!(mass(&kept[..n - 1]) <= p + 2e-6 && p - 2e-6 < mass(&kept));
        }
    }
}
