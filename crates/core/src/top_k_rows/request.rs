use crate::TokenId;

/// The required content of top-K rows beside their most probable tokens.
///
/// [Filters](crate::Filter::request_top_k) add what they need.
#[derive(Debug, Clone, PartialEq)]
pub struct TopKRequest {
    /// Each once, 1 first.
    temperatures: Vec<f32>,
    /// Ascending, each once.
    tokens: Vec<TokenId>,
    /// The product of the temperatures so far.
    temperature: f32,
}

impl Default for TopKRequest {
    /// Requests mass and entropy at temperature 1, and no token.
    fn default() -> Self {
        Self { temperatures: vec![1.0], tokens: Vec::new(), temperature: 1.0 }
    }
}

impl TopKRequest {
    /// Declares that the filter divides the row by T. Mass and entropy are then requested at the product of
    /// all such T.
    pub fn divide(&mut self, temperature: f32) {
        self.temperature *= temperature;
        self.measure(self.temperature);
    }

    /// Requests the logit of this token, whether it is in the top or not.
    pub fn require_token(&mut self, token: TokenId) {
        if let Err(place) = self.tokens.binary_search(&token) {
            self.tokens.insert(place, token);
        }
    }

    /// The temperatures \[C\] at which mass and entropy of each row are requested. The first is 1.
    pub fn temperatures(&self) -> &[f32] {
        &self.temperatures
    }

    /// The tokens \[M\] whose logits are requested of each row, ascending.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Drops the tokens outside of a vocabulary of this size.
    pub(crate) fn limit_to(&mut self, vocabulary: usize) {
        self.tokens.retain(|&token| (token as usize) < vocabulary);
    }

    fn measure(&mut self, temperature: f32) {
        if !self.temperatures.contains(&temperature) {
            self.temperatures.push(temperature);
        }
    }

    /// Becomes the union of all `requests`. False if all of them need whole rows.
    pub(crate) fn unite<'a>(&mut self, requests: impl Iterator<Item = Option<&'a Self>>) -> bool {
        self.temperatures.truncate(1);
        self.tokens.clear();
        let mut last: Option<&Self> = None;
        for request in requests.flatten() {
            // The sequences of a generator share one request.
            if !last.is_some_and(|last| std::ptr::eq(last, request)) {
                request.temperatures.iter().for_each(|&temperature| self.measure(temperature));
                request.tokens.iter().for_each(|&token| self.require_token(token));
            }
            last = Some(request);
        }
        last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn united_requests_list_each_token_once() {
        let request = |temperature, tokens: &[TokenId]| {
            let mut request = TopKRequest::default();
            request.divide(temperature);
            tokens.iter().for_each(|&token| request.require_token(token));
            request
        };
        let (half, ban) = (request(0.5, &[2]), request(1.0, &[4, 1, 2]));
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
