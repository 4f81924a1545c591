//! The part of a text that is final while its sequence runs.

use conjoint::prelude::*;
use conjoint_lab::Error;
use conjoint_lab::requests::text_of;

/// A sequence as its client sees it: the tokens, and how much of the text has been sent.
pub struct Growing {
    tokens: Vec<TokenId>,
    mask: TokenId,
    /// The first generated position.
    start: usize,
    /// One past the last one.
    end: usize,
    /// Tokens that end the text.
    ends: Vec<TokenId>,
    /// Texts that end it.
    stops: Vec<String>,
    sent: String,
    sent_tokens: usize,
}

/// A further part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The text.
    pub text: String,
    /// The positions of its tokens.
    pub positions: std::ops::Range<usize>,
}

impl Growing {
    /// The sequence of this canvas.
    pub fn new(canvas: &Canvas, ends: &[TokenId], stops: Vec<String>) -> Self {
        let span = canvas.free_span();
        let start = span.start;
        Self {
            tokens: canvas.tokens().to_vec(),
            mask: canvas.mask(),
            start,
            end: span.end,
            ends: ends.to_vec(),
            stops,
            sent: String::new(),
            sent_tokens: start,
        }
    }

    /// Sets the token of a position.
    pub fn set(&mut self, position: usize, token: Option<TokenId>) {
        self.tokens[position] = token.unwrap_or(self.mask);
    }

    /// The tokens, with the mask's id at masked positions.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The number of masked positions.
    pub fn masked(&self) -> usize {
        self.tokens.iter().filter(|&&token| token == self.mask).count()
    }

    /// One past the last position of the final part: the first masked one, or that of a token that ends the text.
    fn known(&self) -> usize {
        let known = |token: &TokenId| *token == self.mask || self.ends.contains(token);
        let place = self.tokens[self.start..self.end].iter().position(known);
        place.map_or(self.end, |place| self.start + place)
    }

    /// The text that has become final since the last call. The beginning of a stop text is kept back, and so is a
    /// character whose tokens are not all known.
    ///
    /// # Errors
    /// The tokenizer cannot decode it.
    pub fn advance(&mut self, tokenizer: &Tokenizer) -> Result<Option<Delta>, Error> {
        let known = self.known();
        if known <= self.sent_tokens {
            return Ok(None);
        }
        let text = text_of(tokenizer, &self.tokens, self.start..known)?;
        let whole = text.trim_end_matches('\u{fffd}');
        let whole = &whole[..before_stop(whole, &self.stops)];
        match whole.strip_prefix(self.sent.as_str()) {
            Some(more) if !more.is_empty() => {
                let delta = Delta { text: more.to_owned(), positions: self.sent_tokens..known };
                (self.sent, self.sent_tokens) = (whole.to_owned(), known);
                Ok(Some(delta))
            }
            _ => Ok(None),
        }
    }

    /// The last part of a text that ended as `text`, with tokens up to position `end`.
    pub fn finish(&mut self, text: &str, end: usize) -> Delta {
        let more = text.strip_prefix(self.sent.as_str()).unwrap_or_default().to_owned();
        let positions = self.sent_tokens.min(end)..end;
        self.sent = text.to_owned();
        Delta { text: more, positions }
    }
}

/// The length of a text before a stop text, or before what may be the beginning of one.
fn before_stop(text: &str, stops: &[String]) -> usize {
    let begins = |stop: &String| {
        if let Some(place) = text.find(stop.as_str()) {
            return place;
        }
        let starts = text.char_indices().map(|(place, _)| place);
        starts
            .rev()
            .take(stop.chars().count())
            .filter(|&place| stop.starts_with(&text[place..]))
            .last()
            .unwrap_or(text.len())
    };
    stops.iter().map(begins).min().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::open(conjoint_models::tiny()).unwrap()
    }

    /// A sequence of "<list>" and `length` masks.
    fn growing(length: usize, stops: &[&str]) -> (Growing, Tokenizer) {
        let tokenizer = tokenizer();
        let prompt = tokenizer.encode("<list>").unwrap();
        let mask = tokenizer.id("<mask>").or_else(|| tokenizer.id("[MASK]")).unwrap_or(0);
        let canvas = Canvas::new(&prompt, length, mask).unwrap();
        let ends = [tokenizer.id("<eos>").unwrap()];
        (
            Growing::new(&canvas, &ends, stops.iter().map(|&stop| stop.to_owned()).collect()),
            tokenizer,
        )
    }

    fn reveal(growing: &mut Growing, tokenizer: &Tokenizer, position: usize, text: &str) {
        let ids = tokenizer.encode(text).unwrap();
        for (i, id) in ids.into_iter().enumerate() {
            growing.set(growing.start + position + i, Some(id));
        }
    }

    fn advance(
        growing: &mut Growing,
        tokenizer: &Tokenizer,
    ) -> Option<(String, std::ops::Range<usize>)> {
        let delta = growing.advance(tokenizer).unwrap();
        delta.map(|delta| (delta.text, delta.positions))
    }

    #[test]
    fn a_text_is_final_up_to_the_first_mask() {
        let (mut growing, tokenizer) = growing(6, &[]);
        reveal(&mut growing, &tokenizer, 1, "b");
        assert_eq!(advance(&mut growing, &tokenizer), None);
        reveal(&mut growing, &tokenizer, 0, "a");
        let start = growing.start;
        assert_eq!(advance(&mut growing, &tokenizer), Some(("ab".into(), start..start + 2)));
        assert_eq!(advance(&mut growing, &tokenizer), None);
        reveal(&mut growing, &tokenizer, 2, "c<eos>");
        assert_eq!(advance(&mut growing, &tokenizer), Some(("c".into(), start + 2..start + 3)));
        assert_eq!(growing.masked(), 2);
        assert_eq!(
            growing.finish("abc", start + 4),
            Delta { text: String::new(), positions: start + 3..start + 4 }
        );
    }

    #[test]
    fn the_beginning_of_a_stop_text_is_kept_back() {
        let (mut growing, tokenizer) = growing(6, &["bc"]);
        reveal(&mut growing, &tokenizer, 0, "ab");
        let start = growing.start;
        assert_eq!(advance(&mut growing, &tokenizer).unwrap().0, "a");
        reveal(&mut growing, &tokenizer, 2, "k");
        assert_eq!(advance(&mut growing, &tokenizer).unwrap().0, "bk");
        reveal(&mut growing, &tokenizer, 3, "bc");
        assert_eq!(advance(&mut growing, &tokenizer), None);
        assert_eq!(growing.finish("abk", start + 5).text, "");
    }

    #[test]
    fn stop_texts_are_found_wherever_they_begin() {
        let stops = |stops: &[&str]| stops.iter().map(|&stop| stop.to_owned()).collect::<Vec<_>>();
        for (text, stop, before) in [
            ("abc", vec!["x"], 3),
            ("abc", vec!["cd"], 2),
            ("abc", vec!["bcd", "c"], 1),
            ("aba", vec!["abab"], 0),
            ("xabay", vec!["aba"], 1),
            ("né", vec!["éa"], 1),
            ("", vec!["a"], 0),
            ("abc", vec![], 3),
        ] {
            assert_eq!(before_stop(text, &stops(&stop)), before, "{text} {stop:?}");
        }
    }
}
