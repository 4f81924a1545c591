//! Rules that end a sequence before its last position, such as stop tokens and stop texts.

use std::sync::Arc;

use crate::TokenId;

/// Finds where a sequence ends, such as after a stop text.
///
/// ```
/// use conjoint_core::{Stop, TokenId};
///
/// /// Ends a sequence at two equal tokens in a row.
/// struct Twice;
///
/// impl Stop for Twice {
///     fn end(&self, tokens: &[TokenId]) -> Option<usize> {
///         tokens.windows(2).position(|pair| pair[0] == pair[1]).map(|at| at + 2)
///     }
/// }
///
/// assert_eq!(Twice.end(&[1, 2, 2, 2]), Some(3));
/// ```
pub trait Stop: Send + Sync {
    /// Returns the number of tokens up to the first end, the end included; `None` if there is none.
    ///
    /// `tokens` is a stretch of generated tokens without a gap, from left to right. An end must not depend on
    /// the tokens after it.
    fn end(&self, tokens: &[TokenId]) -> Option<usize>;
}

impl<S: Stop + ?Sized> Stop for Arc<S> {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        (**self).end(tokens)
    }
}

/// Ends a sequence at any of these tokens.
pub(crate) struct AtTokens(pub Vec<TokenId>);

impl Stop for AtTokens {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        tokens.iter().position(|token| self.0.contains(token)).map(|position| position + 1)
    }
}
