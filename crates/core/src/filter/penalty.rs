use super::{Filter, FilterRow};
use crate::{Error, TokenId};

/// Makes listed tokens less likely by a fixed amount: their logits fall by λ nats.
///
/// A gentler [`Ban`](super::Ban), for the end-of-sequence and padding ids that flood a canvas. Ids
/// outside the vocabulary are ignored, and one listed twice counts once.
///
/// **Law.** p'(x) ∝ p(x) e^(−λ) for the tokens listed, normalised anew at every position: λ = 0 is no
/// filter. One token per forward then samples the product of these rows in the order taken, not the
/// joint reweighted as a whole. Source: "eos penalty" of the models' evaluation scripts.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    tokens: Vec<TokenId>,
    nats: f32,
}

impl Penalty {
    /// Penalises these tokens by λ = `nats`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless λ is finite and at least 0.
    pub fn new(tokens: impl IntoIterator<Item = TokenId>, nats: f64) -> Result<Self, Error> {
        let lambda = nats as f32;
        if !(lambda.is_finite() && lambda >= 0.0) {
            return Err(Error::parameter("penalty", nats, "a finite number of nats, at least 0"));
        }
        let mut tokens: Vec<TokenId> = tokens.into_iter().collect();
        tokens.sort_unstable();
        tokens.dedup();
        Ok(Self { tokens, nats: lambda })
    }
}

impl Filter for Penalty {
    fn apply(&self, row: &mut FilterRow<'_>) {
        for &token in &self.tokens {
            if let Some(logit) = row.logits.get_mut(token as usize)
                && *logit > f32::NEG_INFINITY
            {
                // A penalty bans nothing, however large.
                *logit = (*logit - self.nats).max(f32::MIN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::filtered;

    #[test]
    fn listed_tokens_fall_and_bans_stay() {
        let penalty = Penalty::new([1, 1, 3, 9], 2.0).unwrap();
        let row = [1.0, 1.0, 1.0, f32::NEG_INFINITY];
        assert_eq!(filtered(&penalty, &row), [1.0, -1.0, 1.0, f32::NEG_INFINITY]);
        assert_eq!(filtered(&Penalty::new([0, 1, 2], 0.0).unwrap(), &row), row);
        let huge = Penalty::new([0], f64::from(f32::MAX)).unwrap();
        assert_eq!(filtered(&huge, &[f32::MIN, 0.0]), [f32::MIN, 0.0]);
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            let error = Penalty::new([0], bad).unwrap_err().to_string();
            assert!(error.contains("penalty") && error.contains("at least 0"), "{error}");
        }
    }
}
