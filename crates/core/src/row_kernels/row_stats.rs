use super::Backend;
use crate::TokenId;

/// Statistics of one row of logits, computed in one pass: normaliser, entropy and the two largest
/// probabilities.
#[doc(alias = "logsumexp")]
#[doc(alias = "softmax")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowStats {
    /// ln Σ exp(logit).
    pub log_z: f64,
    /// Entropy H = −Σ p ln p, in nats.
    pub entropy: f64,
    /// The most probable token; the lowest id among equals. It can be the mask id if that is not
    /// [banned](crate::Generator::ban), although the mask is never drawn.
    pub top: TokenId,
    /// Its probability p₁.
    pub p1: f64,
    /// The second largest probability p₂ (0 if only one token is possible).
    pub p2: f64,
}

impl RowStats {
    /// Computes the statistics of a row of logits \[V\]. `None` if all are −∞, or if one is NaN or +∞.
    ///
    /// With z = logit − max: log Z = max + ln Σeᶻ and H = ln Σeᶻ − Σ z eᶻ / Σeᶻ. The row is read once, with
    /// the widest vectors of the CPU, in float32 within pieces of 256 logits and in float64 across them; rows
    /// below 64 tokens are summed in float64 only. All values are within 1e-5 of a float64 computation and
    /// depend on the row only. CPUs with and without fused multiply-add may differ in the seventh digit.
    pub fn of(logits: &[f32]) -> Option<Self> {
        Backend::detect().stats(logits).ok().flatten()
    }

    /// Returns the probability of a token with this logit in the row.
    pub fn probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.log_z).exp().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_rows() {
        let uniform = RowStats::of(&[1.0; 4]).unwrap();
        assert!((uniform.entropy - 4f64.ln()).abs() < 1e-12);
        assert_eq!((uniform.top, uniform.p1, uniform.p2), (0, 0.25, 0.25));
        let certain = RowStats::of(&[f32::NEG_INFINITY, 3.0]).unwrap();
        assert_eq!((certain.top, certain.p1, certain.p2, certain.entropy), (1, 1.0, 0.0, 0.0));
        assert_eq!(RowStats::of(&[f32::NEG_INFINITY; 3]), None);
        assert_eq!(RowStats::of(&[]), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(logits in prop::collection::vec(-30.0f32..30.0, 1..40)) {
            let stats = RowStats::of(&logits).unwrap();
            let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l).exp()).collect();
            let z: f64 = weights.iter().sum();
            let mut p: Vec<f64> = weights.iter().map(|w| w / z).collect();
            let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            prop_assert!((stats.entropy - entropy).abs() < 1e-9);
            prop_assert!((stats.log_z - z.ln()).abs() < 1e-9);
            prop_assert!((stats.probability(logits[0]) - p[0]).abs() < 1e-9);
            p.sort_by(|a, b| b.total_cmp(a));
            prop_assert!((stats.p1 - p[0]).abs() < 1e-9);
            prop_assert!((stats.p2 - p.get(1).copied().unwrap_or(0.0)).abs() < 1e-9);
        }
    }
}
