use super::{Filter, FilterRow};
use crate::{Error, TokenId, range};

/// Lowers the logits of listed tokens by λ nats (a negative logit bias).
///
/// It is a gentler [`Ban`](super::Ban) for end-of-sequence and padding ids, which many models reveal too
/// often. Ids outside the vocabulary are ignored, and an id listed twice counts once.
///
/// **Law.** p'(x) ∝ p(x) e^(−λ) for the listed tokens, normalised again at every position; with λ = 0 rows do
/// not change. One token per forward then samples the product of these rows in the order of revealing, not
/// the joint reweighted as a whole. Source: the "eos penalty" of the models' evaluation scripts.
#[doc(alias = "logit bias")]
#[doc(alias = "eos penalty")]
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    tokens: Vec<TokenId>,
    nats: f32,
}

impl Penalty {
    /// Creates a filter that lowers these tokens by λ = `nats`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless λ is finite and at least 0.
    pub fn new(tokens: impl IntoIterator<Item = TokenId>, nats: f64) -> Result<Self, Error> {
        let nats = range::within_f32("penalty", nats, 0.0..)?;
        let mut tokens: Vec<TokenId> = tokens.into_iter().collect();
        tokens.sort_unstable();
        tokens.dedup();
        Ok(Self { tokens, nats })
    }
}

impl Filter for Penalty {
    fn apply(&self, row: &mut FilterRow<'_>) {
        for &token in &self.tokens {
            if let Some(logit) = row.logits.get_mut(token as usize)
                && *logit > f32::NEG_INFINITY
            {
                // However large, a penalty does not ban a token.
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
    fn invalid_values_are_rejected() {
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            let error = Penalty::new([0], bad).unwrap_err().to_string();
            assert!(error.contains("penalty") && error.contains("at least 0"), "{error}");
        }
    }
}
