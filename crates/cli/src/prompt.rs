//! The given part of a sequence: a prompt to continue, a chat to answer, a text with holes, or nothing.

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
use crate::numbers::integer;

#[derive(Args)]
pub struct PromptArguments {
    #[command(flatten)]
    given: GivenArguments,
    #[command(flatten)]
    chat: ChatArguments,
    /// Number of tokens to generate
    #[arg(long, value_name = "N", value_parser = integer(1..=u32::MAX),
          conflicts_with_all = ["infill", "infill_ids"])]
    pub gen_length: Option<u32>,
    /// Read special tokens such as <|im_end|> in --prompt and --infill as literal text
    #[arg(long)]
    literal: bool,
    /// Whether to add the tokens that the checkpoint's tokenizer puts around every text, such as one that begins a sequence
    /// (transformers' add_special_tokens)
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    add_special_tokens: bool,
}

#[derive(Args)]
#[group(multiple = false)]
struct GivenArguments {
    /// Text to continue
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Token ids to continue, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    prompt_ids: Option<Vec<TokenId>>,
    /// Start from masks only, without a prompt
    #[arg(long)]
    unconditional: bool,
    /// Text to fill in: each [MASK] is one token to generate, each [MASK*N] is N tokens, and \[MASK] is literal text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    infill: Option<String>,
    /// Token ids to fill in, separated by commas: each mask id is a token to generate
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    infill_ids: Option<Vec<TokenId>>,
    /// File of many prompts: one per line (with \n for a line break), or a .jsonl file with an object per line. "-" is standard
    /// input. An object has one of prompt, prompt_ids, messages, infill and infill_ids, and optionally gen_length, seed,
    /// temperature, top_k, top_p, min_p, stop (a list) and id (any value)
    #[arg(long, value_name = "FILE|-")]
    prompts: Option<PathBuf>,
}

#[derive(Args)]
struct ChatArguments {
    /// Answer TEXT (or --prompt, each of --prompts, or --message) as a chat, with the checkpoint's own template. The sequence
    /// ends with the turn
    #[arg(long, help_heading = "Chat", value_name = "TEXT", num_args = 0..=1, default_missing_value = "", allow_hyphen_values = false,
          conflicts_with_all = ["prompt_ids", "unconditional", "infill", "infill_ids"])]
    chat: Option<String>,
    /// System message that begins the chat
    #[arg(long, help_heading = "Chat", value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Message of a chat, such as user:Hello. May be repeated. A last message of the assistant is continued
    #[arg(long, help_heading = "Chat", value_name = "ROLE:TEXT", allow_hyphen_values = true,
          conflicts_with_all = ["prompt_ids", "unconditional", "infill", "infill_ids"])]
    message: Vec<RoleAndText>,
    /// JSON file with the messages of a chat: a list of objects with role and content
    #[arg(long, help_heading = "Chat", value_name = "FILE", conflicts_with_all = ["prompt", "prompt_ids", "unconditional", "infill", "infill_ids", "prompts"])]
    messages: Option<PathBuf>,
    /// Variable of the chat template with its value as JSON, such as enable_thinking=false or tools=[...]. May be repeated
    #[arg(long, help_heading = "Chat", value_name = "NAME=JSON")]
    template_arg: Vec<NameAndJson>,
}

/// The value of --message.
#[derive(Debug, Clone)]
struct RoleAndText(String, String);

impl FromStr for RoleAndText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((role, text)) if !role.is_empty() => Ok(Self(role.to_owned(), text.to_owned())),
            _ => Err("expected ROLE:TEXT, such as user:Hello"),
        }
    }
}

/// The value of --template-arg.
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
        valid
            .map_err(|error| format!("expected JSON ({error}); a string needs quotation marks"))?;
        Ok(Self(name.to_owned(), json.to_owned()))
    }
}

/// The sequences to generate.
pub enum Source<'a> {
    /// Samples of one sequence.
    Single(PromptInput),
    /// A file of requests, or standard input.
    Requests(&'a Path),
}

impl PromptArguments {
    /// The sequences to generate.
    ///
    /// # Errors
    /// [`InvalidArgument`] if nothing is given, or flags exclude each other.
    pub fn source(&self) -> Result<Source<'_>> {
        let (given, chat) = (&self.given, &self.chat);
        if let Some(path) = &given.prompts {
            if chat.chat.as_ref().is_some_and(|text| !text.is_empty()) {
                let text = chat.chat.as_deref().unwrap_or_default();
                return Err(InvalidArgument::new(
                    "--chat",
                    text,
                    "--prompts already gives the user's message",
                )
                .into());
            }
            return Ok(Source::Requests(path));
        }
        if let Some(before) = self.chat()? {
            return self.one_chat(before).map(Source::Single);
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
            InvalidArgument::missing("--prompt", format!("give a prompt, {flags}"))
        })?;
        Ok(Source::Single(found))
    }

    /// The messages before the user's last one, if it is a chat.
    ///
    /// # Errors
    /// [`InvalidArgument`] if a file of messages cannot be read.
    pub fn chat(&self) -> Result<Option<Vec<Message>>> {
        let ChatArguments { chat, system, message, messages, .. } = &self.chat;
        if chat.is_none() && message.is_empty() && messages.is_none() {
            return match system {
                None => Ok(None),
                Some(text) => {
                    let reason = "only a chat has a system message: add --chat";
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
        let texts =
            [self.given.prompt.as_ref(), self.chat.chat.as_ref().filter(|text| !text.is_empty())];
        let texts: Vec<_> = texts.into_iter().flatten().collect();
        let has_messages = !self.chat.message.is_empty() || self.chat.messages.is_some();
        match texts.as_slice() {
            [] if has_messages => Ok(PromptInput::Chat(before)),
            [] => {
                let reason =
                    "give the user's message: --chat TEXT, --message user:TEXT or --messages FILE";
                Err(InvalidArgument::missing("--chat TEXT", reason).into())
            }
            [text] => Ok(PromptInput::Prompt((*text).clone()).in_chat(&before)),
            [_, text, ..] => Err(InvalidArgument::new(
                "--chat",
                text,
                "--prompt already gives the user's message",
            )
            .into()),
        }
    }

    /// Turns texts into token ids.
    pub fn reader<'m>(&self, model: &'m Model) -> PromptReader<'m> {
        let arguments = self.chat.template_arg.iter();
        let arguments = arguments.map(|NameAndJson(name, json)| (name.clone(), json.clone()));
        PromptReader::new(model)
            .literal(self.literal)
            .add_special_tokens(self.add_special_tokens)
            .template_arguments(arguments.collect())
    }

    /// Whether the input has holes, which decide the number of tokens.
    pub fn has_holes(&self) -> bool {
        self.given.infill.is_some() || self.given.infill_ids.is_some()
    }
}

/// Reads a list of messages, or an object with the key `messages`.
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
        Ok(_) => Err(anyhow::Error::msg("the file has no message")),
        Err(error) if error.is_data() => {
            Err(anyhow::Error::msg("expected a list of objects with role and content"))
        }
        Err(error) => Err(error.into()),
    }
}
