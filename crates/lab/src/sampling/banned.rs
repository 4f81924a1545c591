use std::ops::RangeInclusive;
use std::str::FromStr;

use conjoint::prelude::*;

use crate::Error;

/// Tokens to ban: special ones by name, or any by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banned {
    /// The mask.
    Mask,
    /// The padding.
    Pad,
    /// The beginning of a sequence.
    Bos,
    /// Every token that ends a sequence.
    Eos,
    /// The tokens of these ids.
    Ids(RangeInclusive<TokenId>),
}

impl FromStr for Banned {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Name(
                "expected mask, pad, bos, eos, a token id, or a range of ids such as 5-8"
                    .to_owned(),
            )
        };
        let id = |text: &str| text.parse::<TokenId>().map_err(|_| wrong());
        Ok(match text {
            "mask" => Self::Mask,
            "pad" => Self::Pad,
            "bos" => Self::Bos,
            "eos" => Self::Eos,
            ids => {
                let (first, last) = ids.split_once('-').unwrap_or((ids, ids));
                let ids = id(first)?..=id(last)?;
                if ids.is_empty() {
                    return Err(wrong());
                }
                Self::Ids(ids)
            }
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
            Self::Ids(ids) if ids.start() == ids.end() => ids.start().fmt(f),
            Self::Ids(ids) => write!(f, "{}-{}", ids.start(), ids.end()),
        }
    }
}

impl Banned {
    /// The ids in this vocabulary.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `ban` if the vocabulary has no such token.
    pub fn ids(&self, vocabulary: &Vocabulary) -> Result<Vec<TokenId>, Error> {
        let ids = match self {
            Self::Mask => vec![vocabulary.mask()],
            Self::Pad => vocabulary.pad().into_iter().collect(),
            Self::Bos => vocabulary.bos().into_iter().collect(),
            Self::Eos => vocabulary.eos_ids().to_vec(),
            Self::Ids(ids) if (*ids.end() as usize) < vocabulary.size() => ids.clone().collect(),
            Self::Ids(_) => {
                let reason = format!("the vocabulary has ids below {}", vocabulary.size());
                return Err(Error::parameter("ban", self, reason));
            }
        };
        match ids.is_empty() {
            true => Err(Error::parameter("ban", self, "the model has no such id")),
            false => Ok(ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_a_range() {
        let vocabulary = Vocabulary::new(10, 9).unwrap().with_eos(3).unwrap().with_eos(1).unwrap();
        let ids = |text: &str| text.parse::<Banned>().unwrap().ids(&vocabulary);
        for (text, expected) in
            [("4-6", vec![4, 5, 6]), ("7", vec![7]), ("eos", vec![3, 1]), ("mask", vec![9])]
        {
            assert_eq!(ids(text).unwrap(), expected);
            assert_eq!(text.parse::<Banned>().unwrap().to_string(), text);
        }
        assert!(ids("8-10").is_err() && ids("pad").is_err());
        for text in ["6-4", "", "-", "a-b", "1-2-3"] {
            assert!(text.parse::<Banned>().is_err(), "{text}");
        }
    }
}
