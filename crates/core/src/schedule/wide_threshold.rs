use super::{Progress, Ranking, Schedule};
use crate::{Error, range};

/// WINO's "wide in": reveals every candidate with c > τ, and always the best one, up to a cap.
///
/// The cap is ⌊0.7 m⌋ of the m masked positions, clamped to 5 … 20. Combine it with the order
/// [`Confidence`](struct@crate::order::Confidence) and the reviser [`Wino`](crate::reviser::Wino), which
/// remasks doubtful tokens. Source: arXiv 2507.18578, τ = 0.6.
#[doc(alias = "wide-in")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WideThreshold(f64);

impl WideThreshold {
    /// Creates the schedule with τ.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ τ ≤ 1.
    pub fn new(tau: f64) -> Result<Self, Error> {
        Ok(Self(range::probability("WINO reveal threshold", tau)?))
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
        let confident = ranked.iter().filter(|candidate| candidate.confidence > self.0).count();
        confident.clamp(1, (ranked.iter().count() * 7 / 10).clamp(5, 20))
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
