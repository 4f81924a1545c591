use std::path::Path;
use std::sync::{Arc, PoisonError};

use conjoint::prelude::*;
use conjoint::{Autoregressive, OnnxAutoregressive};
use conjoint_eval::NGram;

use super::spec::ScorerSpec;
use crate::Error;
use crate::error::for_parameter;
use crate::model::Model;

/// Models with more positions than this are not trained on texts padded with end tokens.
const MOST_PADDING: usize = 256;

impl Model {
    /// The scorer of this name, opened once.
    ///
    /// # Errors
    /// Those of [`ScorerSpec::open`], for `scorer`.
    pub fn scorer(&self, name: &ScorerSpec) -> Result<Arc<dyn Autoregressive>, Error> {
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scorer) = scorers.get(name) {
            return Ok(scorer.clone());
        }
        let scorer = name.open("scorer", self)?;
        scorers.insert(name.clone(), scorer.clone());
        Ok(scorer)
    }
}

impl ScorerSpec {
    /// Opens the scorer, over the model's own token ids. `name` is the parameter that gave it.
    ///
    /// The texts of an n-gram model are encoded with the model's tokenizer, and padded with end tokens to the model's full
    /// length, as generated texts are.
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
        let text = for_parameter(name, self, std::fs::read_to_string(file))?;
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
            return Err(Error::parameter(name, self, "the file has no text"));
        }
        Ok(Arc::new(for_parameter(name, self, NGram::fit(order, vocabulary.size(), texts))?))
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
        let model =
            for_parameter(name, self, OnnxAutoregressive::open(file, ExecutionProvider::Cpu))?;
        Ok(match start {
            None => Arc::new(model),
            Some(token) => Arc::new(model.start(token)),
        })
    }
}
