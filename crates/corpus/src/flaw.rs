use thiserror::Error;

/// The first mistake in a text's body.
///
/// A body is parsed as a whole before its words are compared, so that [`Flaw::Unparsed`] takes precedence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The body does not have its domain's form.
    #[error("at byte {at}: expected {expected:?}")]
    Unparsed {
        /// Byte position in the body.
        at: usize,
        /// The expected text, or a description of it.
        expected: &'static str,
    },
    /// A word does not agree with the words that it depends on.
    #[error("at byte {at}: {word:?} should be {expected:?}")]
    Disagreement {
        /// Byte position of the word in the body.
        at: usize,
        /// The word found.
        word: String,
        /// The expected word, or a description of it.
        expected: String,
    },
    /// A number is outside its domain's range.
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
    /// A numerical answer is wrong.
    #[error("the answer {got} should be {expected}")]
    WrongAnswer {
        /// The answer found.
        got: i64,
        /// The answer that the rest of the text implies.
        expected: i64,
    },
    /// The list on the right is not the answer to the task.
    #[error("the list {got:?} should be {expected:?}")]
    WrongList {
        /// The names found, separated by spaces.
        got: String,
        /// The names expected, separated by spaces; a shuffle may have them in any order.
        expected: String,
    },
}

impl Flaw {
    /// Whether the body has its domain's form, and only its words or numbers are wrong.
    #[must_use]
    pub fn parses(&self) -> bool {
        !matches!(self, Self::Unparsed { .. })
    }
}
