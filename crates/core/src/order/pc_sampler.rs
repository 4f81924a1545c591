use std::sync::Arc;

use super::Order;
use crate::observation::Row;
use crate::{Error, Observation, range};

/// Reveals early positions and informative tokens first.
///
/// The score is e^{−λi} · min(−c ln f(x), α). Here i is the position counted from the first generated one, x
/// the most probable token of the filtered row, c its probability and f(x) its frequency in a background
/// corpus. The factor −ln f delays frequent tokens, in which models are confident too early; α caps it for
/// rare ones. Ranking uses the logarithm of the score, which does not underflow on long sequences.
///
/// Exact at one token per forward: the score depends on rows and positions, not on drawn tokens. Source:
/// PC-Sampler (arXiv 2508.13021), λ = 0.25, α = 10.
#[doc(alias = "PC-Sampler")]
#[doc(alias = "position-calibrated")]
#[derive(Debug, Clone)]
pub struct PcSampler {
    /// −ln f of each token \[V\].
    surprise: Arc<[f64]>,
    /// −ln f of a token that is not in the corpus.
    unseen: f64,
    lambda: f64,
    alpha: f64,
}

impl PcSampler {
    /// Creates the order from the tokens' counts \[V\] in a background corpus of N tokens: f = max(count,
    /// 1) / N. Ids beyond the table have count 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] if all counts are 0.
    pub fn new(counts: &[u64]) -> Result<Self, Error> {
        let total: f64 = counts.iter().map(|&count| count as f64).sum();
        if total == 0.0 {
            return Err(Error::parameter("counts", "all zero", "a corpus of at least one token"));
        }
        let surprise = |&count: &u64| total.ln() - (count.max(1) as f64).ln();
        let (surprise, unseen) = (counts.iter().map(surprise).collect(), total.ln());
        Ok(Self { surprise, unseen, lambda: 0.25, alpha: 10.0 })
    }

    /// Sets λ, the preference for early positions; 0 is none.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless λ is finite and at least 0.
    pub fn lambda(self, lambda: f64) -> Result<Self, Error> {
        Ok(Self { lambda: range::non_negative("lambda", lambda)?, ..self })
    }

    /// Sets α, the cap, in nats.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless α is finite and above 0.
    pub fn alpha(self, alpha: f64) -> Result<Self, Error> {
        Ok(Self { alpha: range::positive("alpha", alpha)?, ..self })
    }

    /// The logarithm of the score of the i-th generated position.
    fn log_score(&self, i: usize, token: usize, confidence: f64) -> f64 {
        let surprise = self.surprise.get(token).copied().unwrap_or(self.unseen);
        (confidence * surprise).min(self.alpha).ln() - self.lambda * i as f64
    }
}

impl Order for PcSampler {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        let row = rows.row(candidate);
        let i = row.position - rows.canvas().free_span().start;
        Ok(self.log_score(i, row.stats.top as usize, row.stats.p1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_formula() {
        // f = 0.98, 0.02, and 0.01 for the token that is not in the corpus.
        let order = PcSampler::new(&[98, 2, 0]).unwrap();
        let by_hand =
            |i: f64, c: f64, f: f64, alpha: f64| (-0.25 * i).exp() * (-c * f64::ln(f)).min(alpha);
        for (i, token, f) in [(0, 0, 0.98), (3, 1, 0.02), (7, 2, 0.01), (1, 9, 0.01)] {
            let score = order.log_score(i, token, 0.5).exp();
            assert!((score - by_hand(i as f64, 0.5, f, 10.0)).abs() < 1e-12, "{score}");
        }
        let capped = order.alpha(1.0).unwrap().log_score(2, 2, 0.9).exp();
        assert!((capped - by_hand(2.0, 0.9, 0.01, 1.0)).abs() < 1e-12, "{capped}");
    }

    #[test]
    fn far_positions_still_differ() {
        let order = PcSampler::new(&[1, 1]).unwrap();
        assert!(order.log_score(100_000, 0, 0.5) > order.log_score(100_001, 0, 0.5));
        // In a corpus of one token −ln f is 0.
        assert_eq!(PcSampler::new(&[5]).unwrap().log_score(0, 0, 1.0), f64::NEG_INFINITY);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(PcSampler::new(&[]).is_err() && PcSampler::new(&[0, 0]).is_err());
        let order = || PcSampler::new(&[1]).unwrap();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(order().lambda(bad).is_err() && order().alpha(bad).is_err(), "{bad}");
        }
        assert!(order().lambda(0.0).is_ok() && order().alpha(0.0).is_err());
    }
}
