use conjoint::StopText;
use conjoint::export::TokenName;
use conjoint::prelude::*;

use crate::Error;
use crate::error::for_parameter;
use crate::model::Model;

/// The tokens and texts that end a sequence before its last position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[doc(alias = "stop token", alias = "stop string", alias = "EOS")]
pub struct Stops {
    /// Whether the model's end-of-sequence tokens end it.
    pub at_eos: bool,
    /// Tokens that end it instead of the model's own.
    pub eos: Vec<TokenName>,
    /// Further tokens that end it, such as the one that ends a turn of a chat.
    pub tokens: Vec<TokenId>,
    /// Texts that end it, even within tokens.
    pub texts: Vec<String>,
}

impl Stops {
    /// The tokens that mark the end of a sequence, even if the generation does not stop there.
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

    /// Sets the stops on a generator.
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
    /// [`Error::Parameter`] for `stop` if a text is empty or the model has no tokenizer.
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
            id.ok_or_else(|| {
                let reason = "expected an id, or one token as the tokenizer writes it";
                Error::parameter("eos", text, reason)
            })?
        }
    };
    // Rejects ids that cannot end a sequence, with the reason.
    let checked = vocabulary.clone().without_eos().with_eos(id);
    for_parameter("eos", token, checked).map(|_| id)
}
