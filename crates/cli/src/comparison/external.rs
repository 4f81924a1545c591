use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::Autoregressive;
use conjoint::prelude::*;
use conjoint_eval::{Bootstrap, LeftToRight, Measured, Sample, nll};

use super::Metric;
use crate::files;
use crate::flag::{BadFlag, blame};
use crate::model::Model;
use crate::scorer::ScorerName;

/// A language model that has no part in the sampling, to judge texts by.
#[derive(Args)]
pub struct ExternalArguments {
    /// The judge of the figure external-nll: ngram:N:FILE as for --scorer, or onnx:FILE for a causal language
    /// model (input_ids → logits, exported without past keys), onnx:FILE@ID if it wants the token ID before every text
    #[arg(long, value_name = "SCORER")]
    pub external: Option<ScorerName>,
    /// Folder of the judge's tokenizer.json [default: the judge's own folder if there is one, otherwise the
    /// model's token ids are taken as the judge's]
    #[arg(long, value_name = "DIR", requires = "external")]
    pub external_tokenizer: Option<PathBuf>,
}

const FLAG: &str = "--external";

/// The judge, ready.
pub struct External {
    scorer: Arc<dyn Autoregressive>,
    tokenizer: Option<Tokenizer>,
}

impl ExternalArguments {
    /// Opens the judge.
    pub fn open(&self, model: &Model) -> Result<External> {
        let Some(name) = &self.external else {
            let reason = "it needs a language model to judge by: give --external";
            return Err(BadFlag::new("--metrics", "external-nll", reason).into());
        };
        let tokenizer = match (&self.external_tokenizer, name.folder()) {
            (Some(folder), _) => {
                Some(blame("--external-tokenizer", folder.display(), Tokenizer::open(folder))?)
            }
            (None, Some(folder)) if folder.join("tokenizer.json").exists() => {
                Some(blame(FLAG, name, Tokenizer::open(folder))?)
            }
            _ => None,
        };
        Ok(External { scorer: name.open(FLAG, model)?, tokenizer })
    }

    /// Refuses a judge that no figure asks for.
    pub fn check(&self, metrics: &[Metric]) -> Result<(), BadFlag> {
        match &self.external {
            Some(name) if !metrics.contains(&Metric::ExternalNll) => {
                let reason = "only the figure external-nll asks it: add that to --metrics";
                Err(BadFlag::unused(FLAG, name, reason))
            }
            _ => Ok(()),
        }
    }

    /// What decides the figure.
    pub fn description(&self) -> Result<String> {
        let own = self.external_tokenizer.as_ref().map(|folder| folder.join("tokenizer.json"));
        let files = self.external.as_ref().map(|name| name.checksum(FLAG)).transpose()?;
        let tokenizer =
            own.map(|file| blame("--external-tokenizer", file.display(), files::checksum(&file)));
        Ok(format!("{:?} {files:?} {:?}", self.external, tokenizer.transpose()?))
    }
}

impl External {
    /// Nats a token of the texts after their prompts, in the judge's own tokens; `None` where all texts are empty.
    pub fn nll(
        &self,
        model: &Model,
        texts: &[(&Canvas, &[TokenId])],
        bootstrap: &Bootstrap,
    ) -> Result<Option<Measured>> {
        let sample = |&(canvas, tokens): &(&Canvas, &[TokenId])| -> Result<Option<Sample>> {
            let given = canvas.free_span().start.min(tokens.len());
            let (prompt, whole) =
                (self.tokens(model, &tokens[..given])?, self.tokens(model, tokens)?);
            // A prompt's last token may become one with the text's first.
            let prompt = prompt.len().min(whole.len());
            if prompt == whole.len() {
                return Ok(None);
            }
            // An id of no vocabulary stands for what was masked.
            let canvas = Canvas::of_length(&whole[..prompt], whole.len(), TokenId::MAX)?;
            Ok(Some(Sample::new(canvas, whole)?))
        };
        let samples = texts.iter().filter_map(|text| sample(text).transpose());
        let samples = samples.collect::<Result<Vec<_>>>()?;
        if samples.is_empty() {
            return Ok(None);
        }
        Ok(Some(nll(&samples, &LeftToRight::new(self.scorer.clone()), bootstrap)?))
    }

    fn tokens(&self, model: &Model, tokens: &[TokenId]) -> Result<Vec<TokenId>> {
        let Some(own) = &self.tokenizer else { return Ok(tokens.to_vec()) };
        let text = model.tokenizer("--metrics", "external-nll")?.decode(tokens)?;
        Ok(own.encode(&text)?)
    }
}
