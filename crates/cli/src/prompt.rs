//! What is given of a sequence: a prompt to continue, a chat to answer, a text with holes, or nothing.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use conjoint::Message;
use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::prompt::{PromptInput, PromptReader};

use crate::flag::{InvalidArgument, with_flag};

#[derive(Args)]
pub struct PromptArguments {
    #[command(flatten)]
    given: GivenArguments,
    #[command(flatten)]
    chat: ChatArguments,
    /// How many tokens to generate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with_all = ["infill", "infill_ids"])]
    pub gen_length: Option<u32>,
    /// Take special tokens such as <|im_end|> in a prompt, or in a text to fill in, for text
    #[arg(long)]
    literal: bool,
    /// Whether to add what the checkpoint's tokenizer puts around every text, such as the token that begins a sequence
    /// (transformers' add_special_tokens)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    add_special_tokens: bool,
}

#[derive(Args)]
#[group(multiple = false)]
struct GivenArguments {
    /// The text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// The token ids to continue, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    prompt_ids: Option<Vec<TokenId>>,
    /// Start from masks alone
    #[arg(long)]
    unconditional: bool,
    /// A text to fill in: each [MASK] is one token to generate, each [MASK*N] N of them; \[MASK] stands for itself
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    infill: Option<String>,
    /// Token ids to fill in, separated by commas: each id of the mask is a token to generate
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    infill_ids: Option<Vec<TokenId>>,
    /// Many prompts: a file with one a line (\n for a line's end inside of it), or a .jsonl file with an object a line, or
    /// the standard input if it is "-". An object has one of prompt, prompt_ids, messages, infill and infill_ids, and may have
    /// gen_length, seed, temperature, top_k, top_p, min_p, stop (a list) and id (anything)
    #[arg(long, value_name = "FILE|-")]
    prompts: Option<PathBuf>,
}

#[derive(Args)]
struct ChatArguments {
    /// Answer TEXT, the --prompt, each of the --prompts or the --message as a chat, by the checkpoint's own template; the end
    /// of the turn ends the sequence
    #[arg(long, help_heading = "Chat", value_name = "TEXT", num_args = 0..=1, default_missing_value = "", allow_hyphen_values = false,
          conflicts_with_all = ["prompt_ids", "unconditional", "infill", "infill_ids"])]
    chat: Option<String>,
    /// What the system says first in a chat
    #[arg(long, help_heading = "Chat", value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// A message of a chat; may be repeated. An assistant's message that comes last is continued
    #[arg(long, help_heading = "Chat", value_name = "ROLE:TEXT", allow_hyphen_values = true,
          conflicts_with_all = ["prompt_ids", "unconditional", "infill", "infill_ids"])]
    message: Vec<RoleAndText>,
    /// A JSON file with the messages of a chat, a list of objects with role and content
    #[arg(long, help_heading = "Chat", value_name = "FILE", conflicts_with_all = ["prompt", "prompt_ids", "unconditional", "infill", "infill_ids", "prompts"])]
    messages: Option<PathBuf>,
    /// A variable of the chat template, such as enable_thinking=false or tools=[...], its value as JSON; may be repeated
    #[arg(long, help_heading = "Chat", value_name = "NAME=JSON")]
    template_arg: Vec<NameAndJson>,
}

/// A message as a flag has it.
#[derive(Debug, Clone)]
struct RoleAndText(String, String);

impl FromStr for RoleAndText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((role, said)) if !role.is_empty() => Ok(Self(role.to_owned(), said.to_owned())),
            _ => Err("expected ROLE:TEXT, such as user:Hello"),
        }
    }
}

/// A variable of the template.
#[derive(Debug, Clone)]
struct NameAndJson(String, String);

impl FromStr for NameAndJson {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, json) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("expected NAME=JSON, such as enable_thinking=false")?;
        let valid: Result<serde::de::IgnoredAny, _> = serde_json::from_str(json);
        valid.map_err(|error| {
            format!("{json} is no JSON ({error}); a text needs quotation marks")
        })?;
        Ok(Self(name.to_owned(), json.to_owned()))
    }
}

/// What is to be generated.
pub enum Source<'a> {
    /// Samples of one sequence.
    One(PromptInput),
    /// A file of requests, or the standard input.
    Many(&'a Path),
}

impl PromptArguments {
    /// What is to be generated.
    ///
    /// # Errors
    /// [`InvalidArgument`] if nothing is given, or what does not go together.
    pub fn source(&self) -> Result<Source<'_>> {
        let (given, chat) = (&self.given, &self.chat);
        if let Some(path) = &given.prompts {
            if chat.chat.as_ref().is_some_and(|text| !text.is_empty()) {
                let text = chat.chat.as_deref().unwrap_or_default();
                return Err(InvalidArgument::new(
                    "--chat",
                    text,
                    "--prompts gives what the user says",
                )
                .into());
            }
            return Ok(Source::Many(path));
        }
        if let Some(before) = self.chat()? {
            return self.one_chat(before).map(Source::One);
        }
        let found = [
            given.prompt.clone().map(PromptInput::Prompt),
            given.prompt_ids.clone().map(PromptInput::PromptIds),
            given.infill.clone().map(PromptInput::Infill),
            given.infill_ids.clone().map(PromptInput::InfillIds),
            given.unconditional.then_some(PromptInput::Nothing),
        ];
        let found = found.into_iter().flatten().next().ok_or_else(|| {
            let flags =
                "or --chat, --prompts, --infill, --unconditional, --prompt-ids or --infill-ids";
            InvalidArgument::missing("--prompt", format!("give something to begin with, {flags}"))
        })?;
        Ok(Source::One(found))
    }

    /// The messages before what the user says last, if it is a chat.
    ///
    /// # Errors
    /// [`InvalidArgument`] for a file of messages that cannot be read.
    pub fn chat(&self) -> Result<Option<Vec<Message>>> {
        let ChatArguments { chat, system, message, messages, .. } = &self.chat;
        if chat.is_none() && message.is_empty() && messages.is_none() {
            return match system {
                None => Ok(None),
                Some(text) => {
                    let reason = "without --chat there is no system";
                    Err(InvalidArgument::unused("--system", text, reason).into())
                }
            };
        }
        let mut all = Vec::new();
        all.extend(system.iter().map(|text| Message::new("system", text)));
        if let Some(path) = messages {
            all.extend(with_flag("--messages", path.display(), read_messages(path))?);
        }
        all.extend(message.iter().map(|RoleAndText(role, text)| Message::new(role, text)));
        Ok(Some(all))
    }

    fn one_chat(&self, before: Vec<Message>) -> Result<PromptInput> {
        let said =
            [self.given.prompt.as_ref(), self.chat.chat.as_ref().filter(|text| !text.is_empty())];
        let said: Vec<_> = said.into_iter().flatten().collect();
        let asked = !self.chat.message.is_empty() || self.chat.messages.is_some();
        match said.as_slice() {
            [] if asked => Ok(PromptInput::Chat(before)),
            [] => {
                let reason =
                    "say what the user says: --chat TEXT, --message user:TEXT or --messages FILE";
                Err(InvalidArgument::missing("--chat TEXT", reason).into())
            }
            [text] => Ok(PromptInput::Prompt((*text).clone()).in_chat(&before)),
            [_, text, ..] => {
                Err(InvalidArgument::new("--chat", text, "--prompt gives what the user says")
                    .into())
            }
        }
    }

    /// How texts become token ids.
    pub fn reading<'m>(&self, model: &'m Model) -> PromptReader<'m> {
        let arguments = self.chat.template_arg.iter();
        let arguments = arguments.map(|NameAndJson(name, json)| (name.clone(), json.clone()));
        PromptReader::new(model)
            .literal(self.literal)
            .add_special_tokens(self.add_special_tokens)
            .template_arguments(arguments.collect())
    }

    /// Whether what is given brings its own length.
    pub fn has_holes(&self) -> bool {
        self.given.infill.is_some() || self.given.infill_ids.is_some()
    }
}

/// A list of messages, or an object that has it as `messages`.
fn read_messages(path: &Path) -> Result<Vec<Message>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum File {
        List(Vec<Message>),
        Object { messages: Vec<Message> },
    }

    let file = BufReader::new(std::fs::File::open(path)?);
    match serde_json::from_reader(file) {
        Ok(File::List(messages) | File::Object { messages }) if !messages.is_empty() => {
            Ok(messages)
        }
        Ok(_) => Err(anyhow::Error::msg("it holds no message")),
        Err(error) if error.is_data() => {
            Err(anyhow::Error::msg("expected a list of objects with role and content"))
        }
        Err(error) => Err(error.into()),
    }
}
