use thiserror::Error;

/// The first thing wrong with a text's body.
///
/// A body is parsed as a whole before it is judged, so [`Flaw::Unparsed`] takes precedence over all others.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The body does not have its domain's form.
    #[error("at byte {at}: expected {expected:?}")]
    Unparsed {
        /// Byte position in the body.
        at: usize,
        /// What would have been right there: the text itself, or its description.
        expected: &'static str,
    },
    /// A word does not fit the words it depends on.
    #[error("at byte {at}: {word:?} should be {expected:?}")]
    Disagreement {
        /// Byte position of the word in the body.
        at: usize,
        /// The word found.
        word: String,
        /// The word, or the description of one, that would have fitted.
        expected: String,
    },
    /// A number is outside the range its domain draws from.
    #[error("at byte {at}: {got} should be between {low} and {high}")]
    OutOfRange {
        /// Byte position of the number in the body.
        at: usize,
        /// The number found.
        got: u32,
        /// The smallest number allowed.
        low: u32,
        /// The largest number allowed.
        high: u32,
    },
    /// A computed answer is wrong.
    #[error("the answer {got} should be {expected}")]
    WrongAnswer {
        /// The answer found.
        got: i64,
        /// The answer that the rest of the text implies.
        expected: i64,
    },
    /// The list on the right is not what the task makes of the list on the left.
    #[error("the list {got:?} should be {expected:?}")]
    WrongList {
        /// The names found, separated by spaces.
        got: String,
        /// The names expected, separated by spaces; a shuffle may have them in any order.
        expected: String,
    },
}

impl Flaw {
    /// Whether the body had its domain's form at least, and failed only on what the words and numbers say.
    pub fn parses(&self) -> bool {
        !matches!(self, Self::Unparsed { .. })
    }
}
