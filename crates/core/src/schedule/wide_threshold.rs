use super::{Progress, Ranking, Schedule};
use crate::Error;

/// WINO's "wide in": every candidate with c > τ, at most ⌊0.7 m⌋ of the m masked brought into 5 … 20, and always the
/// best one.
///
/// Meant to go with a reviser that takes back what was revealed too boldly ([`Wino`](crate::reviser::Wino)), by
/// [`Confidence`](struct@crate::order::Confidence). Source: arXiv 2507.18578, τ = 0.6.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WideThreshold(f64);

impl WideThreshold {
    /// Reveals above τ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1.
    pub fn new(tau: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&tau) {
            return Err(Error::parameter("WINO reveal threshold", tau, "a number from 0 to 1"));
        }
        Ok(Self(tau))
    }
}

impl Default for WideThreshold {
    /// τ = 0.6.
    fn default() -> Self {
        Self(0.6)
    }
}

impl Schedule for WideThreshold {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        let sure = ranked.iter().filter(|candidate| candidate.confidence > self.0).count();
        sure.clamp(1, (ranked.iter().count() * 7 / 10).clamp(5, 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::quota;

    #[test]
    fn between_one_and_the_cap() {
        let wide = WideThreshold::default();
        assert_eq!(quota(&wide, &[(0.6, 0.0), (0.5, 0.0)]), 1);
        assert_eq!(quota(&wide, &[(0.7, 0.0), (0.61, 0.0), (0.6, 0.0)]), 2);
        assert_eq!(quota(&wide, &[(0.9, 0.0); 10]), 7);
        assert_eq!(quota(&wide, &[(0.9, 0.0); 6]), 5);
        assert_eq!(quota(&wide, &[(0.9, 0.0); 100]), 20);
        assert!(WideThreshold::new(1.1).is_err() && WideThreshold::new(f64::NAN).is_err());
    }
}
