use conjoint::StopText;
use conjoint::export::TokenName;
use conjoint::prelude::*;

use crate::Error;
use crate::error::refused;
use crate::model::Model;

/// What ends a sequence before its last position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stops {
    /// The model's end-of-sequence tokens do.
    pub at_eos: bool,
    /// These tokens do, instead of the model's own.
    pub eos: Vec<TokenName>,
    /// These do too, such as the one that ends a turn of a chat.
    pub tokens: Vec<TokenId>,
    /// These texts do, wherever they begin and end.
    pub texts: Vec<String>,
}

impl Stops {
    /// The tokens that are known to end a sequence, whether or not it stops there.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `eos`.
    pub(super) fn ends(&self, model: &Model) -> Result<Vec<TokenId>, Error> {
        let vocabulary = model.denoiser.vocabulary();
        let own = match self.eos.is_empty() {
            true => vocabulary.eos_ids().to_vec(),
            false => self.eos.iter().map(|token| id(token, model)).collect::<Result<_, _>>()?,
        };
        Ok(own.into_iter().chain(self.tokens.iter().copied()).collect())
    }

    /// The generator that stops there.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `stop at eos`, `eos` or `stop`.
    pub(super) fn apply(&self, generator: Generator, model: &Model) -> Result<Generator, Error> {
        if self.at_eos && self.eos.is_empty() && model.denoiser.vocabulary().eos().is_none() {
            let reason = "the model has no end-of-sequence id: name one with `eos`";
            return Err(Error::parameter("stop at eos", true, reason));
        }
        let ends = match self.at_eos || !self.eos.is_empty() {
            true => self.ends(model)?,
            false => self.tokens.clone(),
        };
        let mut generator = generator.stop_at_tokens(ends);
        for text in self.texts(model)? {
            generator = generator.stop_at(text);
        }
        Ok(generator)
    }

    /// The texts that end a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `stop`, if one is empty or the model has no tokenizer.
    pub fn texts(&self, model: &Model) -> Result<Vec<StopText>, Error> {
        let stop = |text: &String| match text.is_empty() {
            true => {
                Err(Error::parameter("stop", text, "expected a text of at least one character"))
            }
            false => Ok(StopText::new(model.tokenizer("stop", text)?.clone(), text)),
        };
        self.texts.iter().map(stop).collect()
    }
}

/// The id of a token that ends a sequence.
fn id(token: &TokenName, model: &Model) -> Result<TokenId, Error> {
    let vocabulary = model.denoiser.vocabulary();
    let id = match token {
        TokenName::Id(id) => *id,
        TokenName::Text(text) => {
            let id = model.tokenizer("eos", text)?.id(text);
            refused(
                "eos",
                text,
                id.ok_or("expected an id, or one token as the tokenizer writes it"),
            )?
        }
    };
    // Says what is wrong with an id that cannot be one.
    let checked = vocabulary.clone().without_eos().with_eos(id);
    refused("eos", token, checked).map(|_| id)
}
