//! Autoregressive scorers by name.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::{Autoregressive, OnnxAutoregressive};
use conjoint_eval::NGram;

use crate::error::refused;
use crate::model::Model;
use crate::{Error, files};

/// Which autoregressive model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScorerSpec {
    /// `ngram:N:FILE`: an n-gram model of a text file.
    NGram {
        /// N: the longest n-grams that are counted.
        order: usize,
        /// Texts, one a line.
        file: PathBuf,
    },
    /// `onnx:FILE` or `onnx:FILE@ID`: a causal language model.
    Onnx {
        /// The graph.
        file: PathBuf,
        /// The token that the model requires before every text.
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
    /// Opens the scorer over the model's own token ids; `name` is the parameter that gave it. An n-gram model's texts
    /// are read with the model's tokenizer. Each is taken to go on with end tokens to the model's full length, as
    /// generated ones do.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the file cannot be used.
    pub fn open(
        &self,
        name: &'static str,
        model: &Model,
    ) -> Result<Arc<dyn Autoregressive>, Error> {
        let (order, file) = match self {
            Self::Onnx { file, start } => return self.open_onnx(name, file, *start),
            Self::NGram { order, file } => (*order, file),
        };
        let text = refused(name, self, std::fs::read_to_string(file))?;
        let vocabulary = model.denoiser.vocabulary();
        let (eos, longest) = (vocabulary.eos(), model.denoiser.max_length());
        let tokens = |line: &str| -> Result<Vec<TokenId>, Error> {
            let mut tokens = model.encode(name, &line.replace("\\n", "\n"))?;
            if let (Some(eos), Some(longest)) = (eos, longest.filter(|&l| l <= MOST_PADDING)) {
                tokens.resize(longest.max(tokens.len()), eos);
            }
            Ok(tokens)
        };
        let lines = text.lines().filter(|line| !line.is_empty());
        let texts = lines.map(tokens).collect::<Result<Vec<_>, _>>()?;
        if texts.is_empty() {
            return Err(Error::parameter(name, self, "the file holds no text"));
        }
        Ok(Arc::new(refused(name, self, NGram::fit(order, vocabulary.size(), texts))?))
    }

    fn open_onnx(
        &self,
        name: &'static str,
        file: &Path,
        start: Option<TokenId>,
    ) -> Result<Arc<dyn Autoregressive>, Error> {
        if !file.is_file() {
            return Err(Error::parameter(name, self, "there is no such file"));
        }
        let model = refused(name, self, OnnxAutoregressive::open(file, ExecutionProvider::Cpu))?;
        Ok(match start {
            None => Arc::new(model),
            Some(token) => Arc::new(model.start(token)),
        })
    }

    /// A checksum of the file's content; `name` is the parameter that gave the scorer.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the file cannot be read.
    pub fn checksum(&self, name: &'static str) -> Result<String, Error> {
        let (Self::NGram { file, .. } | Self::Onnx { file, .. }) = self;
        refused(name, self, files::checksum(file))
    }

    /// The folder in which a tokenizer of the scorer's own may lie.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::NGram { .. } => None,
            Self::Onnx { file, .. } => file.parent(),
        }
    }
}

/// Models made for longer texts than this are not trained on texts filled up with end tokens.
const MOST_PADDING: usize = 256;

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
