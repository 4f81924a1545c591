use crate::{Filter, TokenId};

/// What is asked of top-K rows beside their most probable tokens. [Filters](crate::Filter::request_top_k) say
/// what they need.
#[derive(Debug, Clone, PartialEq)]
pub struct TopKRequest {
    /// Each once, 1 first.
    temperatures: Vec<f32>,
    /// Ascending, each once.
    tokens: Vec<TokenId>,
    /// The product of the temperatures so far.
    now: f32,
}

impl Default for TopKRequest {
    /// Mass and entropy at temperature 1, no token.
    fn default() -> Self {
        Self { temperatures: vec![1.0], tokens: Vec::new(), now: 1.0 }
    }
}

impl TopKRequest {
    /// What `filter` needs of rows, and the logit of `mask`; `None` if it needs whole rows.
    pub(crate) fn of(filter: &dyn Filter, mask: TokenId, vocabulary: usize) -> Option<Self> {
        let mut wanted = Self::default();
        if !filter.request_top_k(&mut wanted) {
            return None;
        }
        wanted.token(mask);
        wanted.tokens.retain(|&token| (token as usize) < vocabulary);
        Some(wanted)
    }

    /// The row is divided by T from here on: its mass and entropy are wanted at the product of all such T.
    pub fn temper(&mut self, temperature: f32) {
        self.now *= temperature;
        self.measure(self.now);
    }

    /// The logit of this token is wanted, whether it is in the top or not.
    pub fn token(&mut self, token: TokenId) {
        if let Err(place) = self.tokens.binary_search(&token) {
            self.tokens.insert(place, token);
        }
    }

    /// The temperatures \[C\] at which mass and entropy of each row are wanted. 1 is always among them.
    pub fn temperatures(&self) -> &[f32] {
        &self.temperatures
    }

    /// The tokens \[M\] whose logits are wanted of each row, ascending.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    fn measure(&mut self, temperature: f32) {
        if !self.temperatures.contains(&temperature) {
            self.temperatures.push(temperature);
        }
    }

    /// Becomes what all of `wanted` want together. False if all of them want whole rows.
    pub(crate) fn unite<'a>(&mut self, wanted: impl Iterator<Item = Option<&'a Self>>) -> bool {
        self.temperatures.truncate(1);
        self.tokens.clear();
        let mut last: Option<&Self> = None;
        for wanted in wanted.flatten() {
            // Sequences of one generator share theirs.
            if !last.is_some_and(|last| std::ptr::eq(last, wanted)) {
                wanted.temperatures.iter().for_each(|&temperature| self.measure(temperature));
                wanted.tokens.iter().for_each(|&token| self.token(token));
            }
            last = Some(wanted);
        }
        last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Ban, Penalty, Temperature, TopP};

    #[test]
    fn a_chain_says_what_it_needs() {
        let t = |t| Temperature::new(t).unwrap();
        let chain = Ban::new([7, 3, 99]).then(t(0.5)).then(TopP::new(0.9).unwrap()).then(t(0.5));
        let wanted = TopKRequest::of(&chain, 5, 10).unwrap();
        assert_eq!(wanted.temperatures(), [1.0, 0.5, 0.25]);
        assert_eq!(wanted.tokens(), [3, 5, 7]);
        let whole = chain.then(Penalty::new([1], 1.0).unwrap());
        assert_eq!(TopKRequest::of(&whole, 5, 10), None);
    }

    #[test]
    fn what_several_want_is_asked_once() {
        let half = TopKRequest::of(&Temperature::new(0.5).unwrap(), 2, 9).unwrap();
        let ban = TopKRequest::of(&Ban::new([4, 1]), 2, 9).unwrap();
        let mut all = TopKRequest::default();
        for _ in 0..2 {
            assert!(all.unite([Some(&half), Some(&half), Some(&ban)].into_iter()));
            assert_eq!((all.temperatures(), all.tokens()), (&[1.0, 0.5][..], &[1, 2, 4][..]));
        }
        assert!(all.unite([None, Some(&half)].into_iter()));
        assert_eq!((all.temperatures(), all.tokens()), (&[1.0, 0.5][..], &[2][..]));
        assert!(!all.unite([None, None].into_iter()));
    }
}
