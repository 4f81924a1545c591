use std::path::PathBuf;
use std::sync::Arc;

use conjoint::Autoregressive;
use conjoint::prelude::*;
use conjoint_eval::{Bootstrap, LeftToRight, Measured, Sample, nll};

use super::Metric;
use crate::error::for_parameter;
use crate::model::Model;
use crate::scorer::ScorerSpec;
use crate::{Error, files};

/// A language model that evaluates texts and takes no part in the sampling.
#[derive(Debug, Clone, Default)]
pub struct External {
    /// The language model of [`Metric::ExternalNll`].
    pub scorer: Option<ScorerSpec>,
    /// The folder of its tokenizer. By default the language model's own folder, if that has one. Without a tokenizer it
    /// reads the sampled model's token ids.
    pub tokenizer: Option<PathBuf>,
}

const NAME: &str = "external";
const TOKENIZER: &str = "external tokenizer";

impl External {
    /// Opens the language model.
    pub(super) fn open(&self, model: &Model) -> Result<Evaluator, Error> {
        let Some(name) = &self.scorer else {
            let reason = "it needs a language model: give `external`";
            return Err(Error::parameter("metrics", Metric::ExternalNll, reason));
        };
        let tokenizer = match (&self.tokenizer, name.folder()) {
            (Some(folder), _) => {
                Some(for_parameter(TOKENIZER, folder.display(), Tokenizer::open(folder))?)
            }
            (None, Some(folder)) if folder.join("tokenizer.json").exists() => {
                Some(for_parameter(NAME, name, Tokenizer::open(folder))?)
            }
            _ => None,
        };
        Ok(Evaluator { scorer: name.open(NAME, model)?, tokenizer })
    }

    /// Rejects a language model that no metric uses.
    pub(super) fn check(&self, metrics: &[Metric]) -> Result<(), Error> {
        match &self.scorer {
            Some(name) if !metrics.contains(&Metric::ExternalNll) => {
                let reason = "only the metric external-nll uses it: add that to `metrics`";
                Err(Error::unused(NAME, name, reason))
            }
            _ => Ok(()),
        }
    }

    /// All that decides the value of the metric.
    pub(super) fn description(&self) -> Result<String, Error> {
        let own = self.tokenizer.as_ref().map(|folder| folder.join("tokenizer.json"));
        let files = self.scorer.as_ref().map(|name| name.checksum(NAME)).transpose()?;
        let tokenizer =
            own.map(|file| for_parameter(TOKENIZER, file.display(), files::checksum(&file)));
        Ok(format!("{:?} {files:?} {:?}", self.scorer, tokenizer.transpose()?))
    }
}

/// The language model, opened.
pub(super) struct Evaluator {
    scorer: Arc<dyn Autoregressive>,
    tokenizer: Option<Tokenizer>,
}

impl Evaluator {
    /// Nats per token of the texts after their prompts, in the evaluator's own tokens. None if all texts are empty.
    pub fn nll(
        &self,
        model: &Model,
        texts: &[(&Canvas, &[TokenId])],
        bootstrap: &Bootstrap,
    ) -> Result<Option<Measured>, Error> {
        let sample = |&(canvas, tokens): &(&Canvas, &[TokenId])| -> Result<Option<Sample>, Error> {
            let given = canvas.free_span().start.min(tokens.len());
            let (prompt, whole) =
                (self.tokens(model, &tokens[..given])?, self.tokens(model, tokens)?);
            // A prompt's last token may merge with the text's first.
            let prompt = prompt.len().min(whole.len());
            if prompt == whole.len() {
                return Ok(None);
            }
            // The mask is an id outside of any vocabulary.
            let canvas = Canvas::of_length(&whole[..prompt], whole.len(), TokenId::MAX)?;
            Ok(Some(Sample::new(canvas, whole)?))
        };
        let samples = texts.iter().filter_map(|text| sample(text).transpose());
        let samples = samples.collect::<Result<Vec<_>, _>>()?;
        if samples.is_empty() {
            return Ok(None);
        }
        Ok(Some(nll(&samples, &LeftToRight::new(self.scorer.clone()), bootstrap)?))
    }

    fn tokens(&self, model: &Model, tokens: &[TokenId]) -> Result<Vec<TokenId>, Error> {
        let Some(own) = &self.tokenizer else { return Ok(tokens.to_vec()) };
        let text = model.tokenizer("metrics", "external-nll")?.decode(tokens)?;
        Ok(own.encode(&text)?)
    }
}
