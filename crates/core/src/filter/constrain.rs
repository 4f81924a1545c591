use std::collections::BTreeMap;

use super::{Filter, FilterRow};
use crate::{Error, TokenId};

/// Allows only listed tokens at given positions.
///
/// Positions count from the start of the canvas, prompt included. Other positions are free. A position that
/// is listed twice allows the tokens of both. Ids outside the vocabulary are ignored. Prompts of different
/// lengths need one filter each: see [`Generator::run_each`](crate::Generator::run_each).
///
/// **Law.** Each row is restricted to its allowed set A_i and normalised again, so one token per forward
/// samples Π p(x_i | revealed) 1\[x_i ∈ A_i\] / Z_i with Z_i = p(A_i | revealed). This is the model's joint
/// *given* that all constraints hold exactly if Π Z_i is the same for every outcome: with one constrained
/// position that is revealed first; with single-token constraints that are revealed first, which is
/// infilling; or if the constrained positions are independent of all others. Otherwise early draws ignore
/// later constraints, and outcomes that these make unlikely are drawn too often.
#[doc(alias = "constrained decoding")]
#[doc(alias = "guided decoding")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constrain(BTreeMap<usize, Vec<TokenId>>);

impl Constrain {
    /// Creates a filter that allows these tokens at these positions.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no position is listed, or a position has no token.
    pub fn new<T: IntoIterator<Item = TokenId>>(
        allowed: impl IntoIterator<Item = (usize, T)>,
    ) -> Result<Self, Error> {
        let mut positions = BTreeMap::<usize, Vec<TokenId>>::new();
        for (position, tokens) in allowed {
            let known = positions.entry(position).or_default();
            known.extend(tokens);
            if known.is_empty() {
                let value = format!("none at position {position}");
                return Err(Error::parameter("allowed tokens", value, "at least 1 token"));
            }
        }
        if positions.is_empty() {
            return Err(Error::parameter("constrained positions", 0, "an integer of at least 1"));
        }
        Ok(Self(positions))
    }
}

impl Filter for Constrain {
    fn apply(&self, row: &mut FilterRow<'_>) {
        let Some(allowed) = self.0.get(&row.position) else { return };
        let kept = |&token: &TokenId| Some((*row.logits.get(token as usize)?, token));
        row.scratch.clear();
        row.scratch.extend(allowed.iter().filter_map(kept));
        row.logits.fill(f32::NEG_INFINITY);
        for &(logit, token) in row.scratch.iter() {
            row.logits[token as usize] = logit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{filtered, support};

    #[test]
    fn only_allowed_tokens_stay_and_other_positions_are_free() {
        // The rows of `support` are those of position 0.
        let constrain = Constrain::new([(0, vec![2, 0]), (4, vec![1]), (0, vec![0, 9])]).unwrap();
        assert_eq!(support(&constrain, &[0.0, 5.0, 1.0]), [0, 2]);
        assert_eq!(filtered(&constrain, &[3.0, 5.0, 1.0])[0], 3.0);
        let elsewhere = Constrain::new([(1, [0])]).unwrap();
        assert_eq!(support(&elsewhere, &[0.0, 5.0, 1.0]), [0, 1, 2]);
        let banned = [f32::NEG_INFINITY, 0.0];
        assert_eq!(support(&Constrain::new([(0, [0])]).unwrap(), &banned), Vec::<usize>::new());
    }

    #[test]
    fn an_empty_list_of_tokens_is_rejected() {
        let error = Constrain::new([(3, vec![1]), (5, vec![])]).unwrap_err().to_string();
        assert!(error.contains("position 5") && error.contains("at least 1"), "{error}");
        assert!(Constrain::new([] as [(usize, Vec<TokenId>); 0]).is_err());
    }
}
