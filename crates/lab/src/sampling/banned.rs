use std::str::FromStr;

use conjoint::prelude::*;

use crate::Error;

/// A token to rule out: a special one by name, or any by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banned {
    /// The mask.
    Mask,
    /// The padding.
    Pad,
    /// The beginning of a sequence.
    Bos,
    /// The end of a sequence.
    Eos,
    /// The token of this id.
    Id(TokenId),
}

impl FromStr for Banned {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "mask" => Self::Mask,
            "pad" => Self::Pad,
            "bos" => Self::Bos,
            "eos" => Self::Eos,
            id => Self::Id(id.parse().map_err(|_| {
                Error::Name("expected mask, pad, bos, eos or a token id".to_owned())
            })?),
        })
    }
}

impl std::fmt::Display for Banned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mask => f.write_str("mask"),
            Self::Pad => f.write_str("pad"),
            Self::Bos => f.write_str("bos"),
            Self::Eos => f.write_str("eos"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl Banned {
    /// The id in this vocabulary.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `ban`, if the vocabulary has no such token.
    pub fn id(&self, vocabulary: &Vocabulary) -> Result<TokenId, Error> {
        let (name, id) = match self {
            Self::Mask => ("mask", Some(vocabulary.mask())),
            Self::Pad => ("pad", vocabulary.pad()),
            Self::Bos => ("bos", vocabulary.bos()),
            Self::Eos => ("eos", vocabulary.eos()),
            Self::Id(id) if (*id as usize) < vocabulary.size() => return Ok(*id),
            Self::Id(id) => {
                let reason = format!("the vocabulary has ids below {}", vocabulary.size());
                return Err(Error::parameter("ban", id, reason));
            }
        };
        id.ok_or_else(|| Error::parameter("ban", name, "the model has no such id"))
    }
}
