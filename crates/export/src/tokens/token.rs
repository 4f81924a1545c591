use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A token, by its id or as the tokenizer writes it.
///
/// ```
/// use conjoint_export::TokenName;
///
/// assert_eq!("126081".parse(), Ok(TokenName::Id(126081)));
/// assert_eq!("<|eot_id|>".parse(), Ok(TokenName::Text("<|eot_id|>".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenName {
    /// Its id.
    Id(u32),
    /// As it is written.
    Text(String),
}

impl FromStr for TokenName {
    type Err = Infallible;

    /// A number is an id.
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
