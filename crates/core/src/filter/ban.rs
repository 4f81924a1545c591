use super::{Filter, FilterRow};
use crate::TokenId;
use crate::top_k_rows::{TopKRequest, TopRow};

/// Rules out a set of tokens.
///
/// Put it first in a chain. A banned token then counts in no entropy, no top-k and no probability. Ids
/// outside the vocabulary are ignored.
#[doc(alias = "token ban")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban(Vec<TokenId>);

impl Ban {
    /// Bans these tokens.
    pub fn new(tokens: impl IntoIterator<Item = TokenId>) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl Filter for Ban {
    fn apply(&self, row: &mut FilterRow<'_>) {
        for &token in &self.0 {
            if let Some(logit) = row.logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        self.0.iter().for_each(|&token| request.require_token(token));
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        self.0.iter().all(|&token| row.rule_out(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::support;

    #[test]
    fn bans_and_ignores_unknown_ids() {
        assert_eq!(support(&Ban::new([1, 7]), &[0.0, 5.0, 0.0]), [0, 2]);
    }
}
