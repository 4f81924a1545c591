//! A token, by its id or by its text.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A token, by its id or by its text in the tokenizer.
///
/// ```
/// use conjoint_format::TokenName;
///
/// assert_eq!("126081".parse(), Ok(TokenName::Id(126081)));
/// assert_eq!("<|eot_id|>".parse(), Ok(TokenName::Text("<|eot_id|>".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenName {
    /// The token's id.
    Id(u32),
    /// The token's text.
    Text(String),
}

impl FromStr for TokenName {
    type Err = Infallible;

    /// Parses a number as an id, and everything else as a text.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Id))
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
