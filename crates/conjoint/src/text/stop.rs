use conjoint_core::{Stop, TokenId};

use super::tokenizer::Tokenizer;

/// Ends a sequence at a stop text, even within tokens. Set it with [`Generator::stop_at`](crate::Generator::stop_at).
///
/// The token that completes the text belongs to the sequence. [`cut`](Self::cut) removes the stop text and everything after
/// it from the decoded text.
///
/// ```no_run
/// use conjoint::prelude::*;
/// # fn example(model: OnnxDenoiser, tokenizer: Tokenizer) -> anyhow::Result<()> {
/// let stop = StopText::new(tokenizer.clone(), "\n\n");
/// let generator = Generator::new(model).stop_at(stop.clone());
/// let output = generator.generate(&tokenizer.encode("Q: 1 + 1?\nA:")?, 32)?;
/// println!("{}", stop.cut(&tokenizer.decode(output.text_tokens())?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "stop string", alias = "stop sequence")]
pub struct StopText {
    tokenizer: Tokenizer,
    text: String,
}

impl StopText {
    /// Ends a sequence at `text`. An empty text ends nothing.
    pub fn new(tokenizer: Tokenizer, text: impl Into<String>) -> Self {
        Self { tokenizer, text: text.into() }
    }

    /// The stop text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The part of a text before the stop text, or the whole text if it does not contain that.
    pub fn cut<'t>(&self, text: &'t str) -> &'t str {
        match (self.text.is_empty(), text.find(&self.text)) {
            (false, Some(at)) => &text[..at],
            _ => text,
        }
    }

    fn is_in(&self, tokens: &[TokenId]) -> bool {
        self.tokenizer.decode(tokens).is_ok_and(|decoded| decoded.contains(&self.text))
    }
}

impl Stop for StopText {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        if self.text.is_empty() || !self.is_in(tokens) {
            return None;
        }
        // A longer beginning contains all of a shorter one, so a binary search finds the shortest with the stop text.
        let (mut without, mut with) = (0, tokens.len());
        while with - without > 1 {
            let middle = without.midpoint(with);
            match self.is_in(&tokens[..middle]) {
                true => with = middle,
                false => without = middle,
            }
        }
        Some(with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_folder::folder;

    #[test]
    fn a_text_is_found_within_and_across_tokens() {
        let folder = folder(&[
            ("vocab.json", r#"{"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ã": 4, "©": 5}"#),
            ("merges.txt", "#version: 0.2\na b\n"),
            ("added_tokens.json", r#"{"<|end|>": 6}"#),
        ]);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let end = |text: &str, ids: &[TokenId]| StopText::new(tokenizer.clone(), text).end(ids);
        assert_eq!(
            end("ba", &[0, 2, 2, 2]),
            Some(3),
            "the end of one token and the beginning of the next"
        );
        assert_eq!(end("a", &[3, 2, 0]), Some(2));
        assert_eq!(end("é", &[0, 4, 5, 1]), Some(3), "a character of two tokens");
        assert_eq!(end("<|end|>", &[0, 6, 6]), Some(2));
        assert_eq!(end("aa", &[0, 1, 0]), None);
        assert_eq!(end("", &[0]), None);
        let stop = StopText::new(tokenizer, "ba");
        assert_eq!((stop.cut("aabab"), stop.cut("aab")), ("aa", "aab"));
    }
}
