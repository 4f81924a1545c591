//! Autoregressive scorers by name.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use conjoint::prelude::*;
use conjoint::{Autoregressive, OnnxAutoregressive, runtime};
use conjoint_eval::NGram;

use crate::files;
use crate::flag::{BadFlag, blame};
use crate::model::Model;

/// Which autoregressive model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScorerName {
    /// `ngram:N:FILE`: an n-gram model of a text file.
    NGram { order: usize, file: PathBuf },
    /// `onnx:FILE` or `onnx:FILE@ID`: a causal language model, and the id that it wants before every text.
    Onnx { file: PathBuf, start: Option<TokenId> },
}

impl FromStr for ScorerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected ngram:N:FILE, with N from 1 to 16, or onnx:FILE or onnx:FILE@ID, with ID the \
                        token that begins every text";
        match text.split_once(':') {
            Some(("ngram", rest)) => {
                let (order, file) = rest.split_once(':').ok_or(expected)?;
                let order = order.parse().ok().filter(|order| (1..=16).contains(order));
                let file = (!file.is_empty()).then(|| file.into());
                Ok(Self::NGram { order: order.ok_or(expected)?, file: file.ok_or(expected)? })
            }
            Some(("onnx", rest)) if !rest.is_empty() => {
                let start =
                    rest.rsplit_once('@').and_then(|(file, id)| Some((file, id.parse().ok()?)));
                Ok(match start {
                    Some((file, start)) => Self::Onnx { file: file.into(), start: Some(start) },
                    None => Self::Onnx { file: rest.into(), start: None },
                })
            }
            _ => Err(expected.into()),
        }
    }
}

impl std::fmt::Display for ScorerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NGram { order, file } => write!(f, "ngram:{order}:{}", file.display()),
            Self::Onnx { file, start: None } => write!(f, "onnx:{}", file.display()),
            Self::Onnx { file, start: Some(id) } => write!(f, "onnx:{}@{id}", file.display()),
        }
    }
}

impl ScorerName {
    /// Opens the scorer over the model's own token ids; `flag` is blamed. An n-gram model's texts are read
    /// with the model's tokenizer, and each is taken to go on with end tokens to the model's full length,
    /// as generated ones do.
    pub fn open(&self, flag: &'static str, model: &Model) -> Result<Arc<dyn Autoregressive>> {
        let (order, file) = match self {
            Self::Onnx { file, start } => return self.open_onnx(flag, file, *start),
            Self::NGram { order, file } => (*order, file),
        };
        let text = blame(flag, self, std::fs::read_to_string(file))?;
        let vocabulary = model.denoiser.vocabulary();
        let (eos, longest) = (vocabulary.eos(), model.denoiser.max_length());
        let tokens = |line: &str| -> Result<Vec<TokenId>, BadFlag> {
            let mut tokens = model.encode(flag, &line.replace("\\n", "\n"))?;
            if let (Some(eos), Some(longest)) = (eos, longest.filter(|&l| l <= MOST_PADDING)) {
                tokens.resize(longest.max(tokens.len()), eos);
            }
            Ok(tokens)
        };
        let lines = text.lines().filter(|line| !line.is_empty());
        let texts = lines.map(tokens).collect::<Result<Vec<_>, _>>()?;
        if texts.is_empty() {
            return Err(BadFlag::new(flag, self, "the file holds no text").into());
        }
        Ok(Arc::new(blame(flag, self, NGram::fit(order, vocabulary.size(), texts))?))
    }

    fn open_onnx(
        &self,
        flag: &'static str,
        file: &Path,
        start: Option<TokenId>,
    ) -> Result<Arc<dyn Autoregressive>> {
        if !file.is_file() {
            return Err(BadFlag::new(flag, self, "there is no such file").into());
        }
        runtime::ensure()?;
        let model = blame(flag, self, OnnxAutoregressive::open(file, ExecutionProvider::Cpu))?;
        Ok(match start {
            None => Arc::new(model),
            Some(token) => Arc::new(model.start(token)),
        })
    }

    /// A checksum of the file's content; `flag` is blamed.
    pub fn checksum(&self, flag: &'static str) -> Result<String> {
        let (Self::NGram { file, .. } | Self::Onnx { file, .. }) = self;
        Ok(blame(flag, self, files::checksum(file))?)
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
        let ngram = ScorerName::NGram { order: 4, file: "texts.txt".into() };
        let onnx = |start| ScorerName::Onnx { file: "gpt2/model.onnx".into(), start };
        for (text, name) in [
            ("ngram:4:texts.txt", ngram),
            ("onnx:gpt2/model.onnx", onnx(None)),
            ("onnx:gpt2/model.onnx@50256", onnx(Some(50256))),
        ] {
            assert_eq!((text.parse(), name.to_string().as_str()), (Ok(name), text));
        }
        let odd = ScorerName::Onnx { file: "a@b/model.onnx".into(), start: None };
        assert_eq!("onnx:a@b/model.onnx".parse(), Ok(odd));
        for bad in ["ngram", "ngram:4", "ngram:0:a", "ngram:x:a", "ngram:2:", "bert:2:a", "onnx:"] {
            assert!(bad.parse::<ScorerName>().is_err(), "{bad}");
        }
    }
}
