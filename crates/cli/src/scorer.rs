//! Autoregressive scorers by name.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use conjoint::Autoregressive;
use conjoint::prelude::*;
use conjoint_eval::NGram;

use crate::flag::{BadFlag, blame};
use crate::model::Model;

/// An n-gram model of a text file, `ngram:N:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerName {
    order: usize,
    file: PathBuf,
}

impl FromStr for ScorerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected ngram:N:FILE, with N from 1 to 16";
        let (order, file) = text
            .strip_prefix("ngram:")
            .and_then(|rest| rest.split_once(':'))
            .filter(|(_, file)| !file.is_empty())
            .ok_or(expected)?;
        let order = order.parse().ok().filter(|order| (1..=16).contains(order)).ok_or(expected)?;
        Ok(Self { order, file: file.into() })
    }
}

impl std::fmt::Display for ScorerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ngram:{}:{}", self.order, self.file.display())
    }
}

impl ScorerName {
    /// Counts the file's texts with the model's tokenizer. Each is taken to go on with end tokens to the
    /// model's full length, as generated ones do.
    pub fn open(&self, model: &Model) -> Result<Arc<dyn Autoregressive>> {
        let flag = "--scorer";
        let text = blame(flag, self, std::fs::read_to_string(&self.file))?;
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
        Ok(Arc::new(blame(flag, self, NGram::fit(self.order, vocabulary.size(), texts))?))
    }
}

/// Models made for longer texts than this are not trained on texts filled up with end tokens.
const MOST_PADDING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown() {
        let name: ScorerName = "ngram:4:texts.txt".parse().unwrap();
        assert_eq!((name.order, name.to_string().as_str()), (4, "ngram:4:texts.txt"));
        for bad in ["ngram", "ngram:4", "ngram:0:a", "ngram:x:a", "ngram:2:", "bert:2:a"] {
            assert!(bad.parse::<ScorerName>().is_err(), "{bad}");
        }
    }
}
