//! The given part of a sequence: a prompt to continue, a chat to answer, a text with holes, or nothing.

mod holes;

use std::sync::OnceLock;

use conjoint::prelude::*;
use conjoint::{ChatTemplate, Message};

use crate::Error;
use crate::error::for_parameter;
use crate::model::Model;
use holes::Part;

/// The given part of a sequence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PromptInput {
    /// A text to continue.
    Prompt(String),
    /// Token ids to continue.
    PromptIds(Vec<TokenId>),
    /// A chat to answer.
    Chat(Vec<Message>),
    /// Nothing.
    Nothing,
    /// A text with holes: `[MASK]` is one token to generate, `[MASK*N]` N of them, and `\[MASK]` is the literal text.
    Infill(String),
    /// Token ids with holes. A hole is the mask's id.
    InfillIds(Vec<TokenId>),
}

impl PromptInput {
    /// Turns a plain prompt into the user's message after other messages. Returns any other input unchanged.
    pub fn in_chat(self, before: &[Message]) -> Self {
        match self {
            Self::Prompt(text) => {
                let message = Message::new("user", text);
                Self::Chat(before.iter().cloned().chain([message]).collect())
            }
            given => given,
        }
    }
}

/// Turns texts into token ids and canvases.
pub struct PromptReader<'m> {
    model: &'m Model,
    /// Whether special tokens in a prompt or a text with holes are literal text.
    literal: bool,
    /// Whether to add the tokens that the checkpoint's tokenizer puts around every text.
    add_special_tokens: bool,
    arguments: Vec<(String, String)>,
    template: OnceLock<Result<ChatTemplate, String>>,
}

impl<'m> PromptReader<'m> {
    /// Reads texts as transformers does: recognises special tokens, and adds those that the tokenizer adds to every text.
    pub fn new(model: &'m Model) -> Self {
        let (arguments, template) = (Vec::new(), OnceLock::new());
        Self { model, literal: false, add_special_tokens: true, arguments, template }
    }

    /// Sets whether special tokens in a prompt or a text with holes are literal text.
    pub fn literal(mut self, literal: bool) -> Self {
        self.literal = literal;
        self
    }

    /// Sets whether to add the tokens that the checkpoint's tokenizer puts around every text. A chat template adds its own.
    pub fn add_special_tokens(mut self, add: bool) -> Self {
        self.add_special_tokens = add;
        self
    }

    /// Sets variables of the chat template, each with its value as JSON.
    pub fn template_arguments(mut self, arguments: Vec<(String, String)>) -> Self {
        self.arguments = arguments;
        self
    }

    /// All settings that decide how texts are read.
    pub(crate) fn description(&self) -> String {
        let Self { literal, add_special_tokens, arguments, .. } = self;
        format!("literal {literal}, special tokens {add_special_tokens}, template {arguments:?}")
    }

    /// The model's chat template, opened once.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `chat` if there is no usable one.
    pub fn template(&self) -> Result<&ChatTemplate, Error> {
        let folder = &self.model.options().folder;
        let open = || {
            let mut template = ChatTemplate::open(folder).map_err(|error| error.to_string())?;
            for (name, value) in &self.arguments {
                template =
                    template.with_argument(name, value).map_err(|error| error.to_string())?;
            }
            Ok(template)
        };
        let template = self.template.get_or_init(open).as_ref();
        template.map_err(|reason| Error::parameter("chat", folder.display(), reason))
    }

    /// The token that ends the assistant's turn in a chat, if the template has one.
    ///
    /// # Errors
    /// Those of [`template`](Self::template), and [`Error::Parameter`] without a tokenizer.
    pub fn turn_end(&self) -> Result<Option<TokenId>, Error> {
        let tokenizer = self.model.tokenizer("chat", "")?;
        Ok(self.template()?.turn_end(tokenizer))
    }

    /// The canvas with `gen_length` tokens to generate after the given ones. Holes need no length.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the input, with the reason; [`Error::Missing`] if `gen length` is missing.
    pub fn canvas(&self, given: &PromptInput, gen_length: Option<u32>) -> Result<Canvas, Error> {
        let length = || {
            let missing = || Error::missing("gen length", "give the number of tokens to generate");
            gen_length.map(|length| length as usize).ok_or_else(missing)
        };
        match given {
            PromptInput::Prompt(text) => {
                let ids = self.encode("prompt", text)?;
                let ids = match self.add_special_tokens {
                    true => self.model.tokenizer("prompt", text)?.prompt(ids),
                    false => ids,
                };
                self.continued(("prompt", text), &ids, length()?)
            }
            PromptInput::PromptIds(ids) => {
                self.continued(("prompt ids", &comma_separated(ids)), ids, length()?)
            }
            PromptInput::Chat(messages) => {
                let text =
                    for_parameter("chat", summary(messages), self.template()?.prompt(messages))?;
                let ids = self.model.encode("chat", &text)?;
                self.continued(("chat", &text), &ids, length()?)
            }
            PromptInput::Nothing => {
                let (length, longest) = (length()?, self.longest());
                if length > longest {
                    let reason = format!("the model takes at most {longest} positions");
                    return Err(Error::parameter("gen length", length, reason));
                }
                for_parameter("gen length", length, Canvas::unconditional(length, self.mask()))
            }
            PromptInput::Infill(text) => self.filled(("infill", text), self.with_holes(text)?),
            PromptInput::InfillIds(ids) => {
                self.filled(("infill ids", &comma_separated(ids)), ids.clone())
            }
        }
    }

    fn encode(&self, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
        match self.literal {
            false => self.model.encode(name, text),
            true => {
                for_parameter(name, text, self.model.tokenizer(name, text)?.encode_literally(text))
            }
        }
    }

    /// The tokens of a text with holes, the mask id in each hole.
    fn with_holes(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        let longest = self.longest();
        let mut tokens = Vec::new();
        let wrong = |mark: &str| {
            let reason = format!("{mark}: expected [MASK] or [MASK*N] with N from 1 to {longest}");
            Error::parameter("infill", text, reason)
        };
        for part in holes::parts(text).map_err(wrong)? {
            match part {
                Part::Text(given) => tokens.extend(self.encode("infill", &given)?),
                Part::Holes(count) if count > longest => {
                    return Err(wrong(&format!("[MASK*{count}]")));
                }
                Part::Holes(count) => tokens.resize(tokens.len() + count, self.mask()),
            }
        }
        let tokenizer = self.model.tokenizer("infill", text)?;
        if self.add_special_tokens {
            tokens = tokenizer.prompt(tokens);
            if !tokens.ends_with(tokenizer.after()) {
                tokens.extend(tokenizer.after());
            }
        }
        Ok(tokens)
    }

    fn mask(&self) -> TokenId {
        self.model.denoiser.vocabulary().mask()
    }

    /// The largest length of a sequence. For models without a limit it is 2^20.
    fn longest(&self) -> usize {
        self.model.denoiser.max_length().unwrap_or(1 << 20)
    }

    fn continued(
        &self,
        (name, value): (&'static str, &str),
        prompt: &[TokenId],
        length: usize,
    ) -> Result<Canvas, Error> {
        self.check_ids((name, value), prompt)?;
        let (given, longest) = (prompt.len(), self.longest());
        if given >= longest {
            let reason =
                format!("{given} tokens leave none of the model's {longest} positions to generate");
            return Err(Error::parameter(name, value, reason));
        }
        if length > longest - given {
            let left = longest - given;
            let reason = format!(
                "after a prompt of {given} tokens the model has room for {left} of its {longest} positions"
            );
            return Err(Error::parameter("gen length", length, reason));
        }
        let reason = |error: conjoint::Error| match error {
            conjoint::Error::EmptyPrompt => {
                "the prompt is empty: give at least one token, or use `unconditional`".to_owned()
            }
            conjoint::Error::IllegalMove { position, .. } => format!(
                "token {position} of the prompt is the mask id: use `infill` or `infill ids` to fill holes"
            ),
            error => error.to_string(),
        };
        Canvas::new(prompt, length, self.mask())
            .map_err(|error| Error::parameter(name, value, reason(error)))
    }

    fn filled(
        &self,
        (name, value): (&'static str, &str),
        tokens: Vec<TokenId>,
    ) -> Result<Canvas, Error> {
        self.check_ids((name, value), &tokens)?;
        let (given, longest) = (tokens.len(), self.longest());
        if given > longest {
            let reason = format!(
                "{given} tokens are more than the {longest} positions that the model takes"
            );
            return Err(Error::parameter(name, value, reason));
        }
        for_parameter(name, value, Canvas::infill(tokens, self.mask()))
    }

    fn check_ids(&self, (name, value): (&'static str, &str), ids: &[TokenId]) -> Result<(), Error> {
        let size = self.model.denoiser.vocabulary().size();
        match ids.iter().find(|id| **id as usize >= size) {
            Some(id) => {
                let reason = format!("id {id} is outside the vocabulary of {size} ids");
                Err(Error::parameter(name, value, reason))
            }
            None => Ok(()),
        }
    }
}

/// Token ids separated by commas.
pub fn comma_separated(ids: &[TokenId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

/// A chat in a few words, for messages.
fn summary(messages: &[Message]) -> String {
    let roles: Vec<_> = messages.iter().map(Message::role).collect();
    format!("{} messages ({})", messages.len(), roles.join(", "))
}
