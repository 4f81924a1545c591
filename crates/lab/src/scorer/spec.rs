use std::path::{Path, PathBuf};
use std::str::FromStr;

use conjoint::prelude::*;

use crate::error::for_parameter;
use crate::{Error, files};

/// The name of an autoregressive model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScorerSpec {
    /// `ngram:N:FILE`: an n-gram model of a text file.
    NGram {
        /// N: the length of the longest n-grams.
        order: usize,
        /// Texts, one per line.
        file: PathBuf,
    },
    /// `onnx:FILE` or `onnx:FILE@ID`: a causal language model.
    Onnx {
        /// The graph.
        file: PathBuf,
        /// The token that the model needs before every text.
        start: Option<TokenId>,
    },
}

impl FromStr for ScorerSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let expected = || {
            let forms = "expected ngram:N:FILE, with N from 1 to 16, or onnx:FILE or onnx:FILE@ID, with ID the \
                         token that begins every text";
            Error::Name(forms.to_owned())
        };
        match text.split_once(':') {
            Some(("ngram", rest)) => {
                let (order, file) = rest.split_once(':').ok_or_else(expected)?;
                let order = order.parse().ok().filter(|order| (1..=16).contains(order));
                let file = (!file.is_empty()).then(|| file.into());
                Ok(Self::NGram {
                    order: order.ok_or_else(expected)?,
                    file: file.ok_or_else(expected)?,
                })
            }
            Some(("onnx", rest)) if !rest.is_empty() => {
                let start =
                    rest.rsplit_once('@').and_then(|(file, id)| Some((file, id.parse().ok()?)));
                Ok(match start {
                    Some((file, start)) => Self::Onnx { file: file.into(), start: Some(start) },
                    None => Self::Onnx { file: rest.into(), start: None },
                })
            }
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for ScorerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NGram { order, file } => write!(f, "ngram:{order}:{}", file.display()),
            Self::Onnx { file, start: None } => write!(f, "onnx:{}", file.display()),
            Self::Onnx { file, start: Some(id) } => write!(f, "onnx:{}@{id}", file.display()),
        }
    }
}

impl ScorerSpec {
    /// The checksum of the file's content. `name` is the parameter that gave the scorer.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the file cannot be read.
    pub fn checksum(&self, name: &'static str) -> Result<String, Error> {
        let (Self::NGram { file, .. } | Self::Onnx { file, .. }) = self;
        for_parameter(name, self, files::checksum(file))
    }

    /// The folder that may contain the scorer's own tokenizer.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::NGram { .. } => None,
            Self::Onnx { file, .. } => file.parent(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown() {
        let ngram = ScorerSpec::NGram { order: 4, file: "texts.txt".into() };
        let onnx = |start| ScorerSpec::Onnx { file: "gpt2/model.onnx".into(), start };
        for (text, name) in [
            ("ngram:4:texts.txt", ngram),
            ("onnx:gpt2/model.onnx", onnx(None)),
            ("onnx:gpt2/model.onnx@50256", onnx(Some(50256))),
        ] {
            assert_eq!(
                (text.parse::<ScorerSpec>().unwrap(), name.to_string().as_str()),
                (name.clone(), text)
            );
        }
        let odd = ScorerSpec::Onnx { file: "a@b/model.onnx".into(), start: None };
        assert_eq!("onnx:a@b/model.onnx".parse::<ScorerSpec>().unwrap(), odd);
        for bad in ["ngram", "ngram:4", "ngram:0:a", "ngram:x:a", "ngram:2:", "bert:2:a", "onnx:"] {
            assert!(bad.parse::<ScorerSpec>().is_err(), "{bad}");
        }
    }
}
