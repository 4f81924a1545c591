//! Renders chats with a checkpoint's own template.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use conjoint_core::TokenId;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::ser::Serialize;
use serde::{Deserialize, Serialize as DeriveSerialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::added;
use super::error::{TextError, unreadable};
use super::json::json;
use super::tokenizer::Tokenizer;

/// The largest number of template instructions. It stops endless templates, and no chat needs that many.
const FUEL: u64 = 50_000_000;

/// The name of the template in its environment.
const NAME: &str = "chat";

/// One message of a chat: a role such as `user`, and a content. A message parsed from JSON keeps every other key, such as
/// `tool_calls`, for the template.
///
/// ```
/// use conjoint::Message;
///
/// let message: Message = serde_json::from_str(r#"{"role": "user", "content": "Hello"}"#).unwrap();
/// assert_eq!(message, Message::new("user", "Hello"));
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, DeriveSerialize)]
pub struct Message {
    role: String,
    /// A text in most formats, a list of parts in others.
    #[serde(default)]
    content: Value,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Message {
    /// A message with a role and a content.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into().into(), more: BTreeMap::new() }
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.role
    }
}

/// The chat template of a checkpoint, rendered as transformers' `apply_chat_template` does.
///
/// ```no_run
/// use conjoint::{ChatTemplate, Message, Tokenizer};
///
/// let (template, tokenizer) = (ChatTemplate::open("dream")?, Tokenizer::open("dream")?);
/// let chat = [Message::new("system", "Be brief."), Message::new("user", "Who are you?")];
/// let prompt = tokenizer.encode(&template.prompt(&chat)?)?;
/// let end = template.turn_end(&tokenizer); // for Generator::stop_at_tokens
/// # Ok::<(), conjoint::TextError>(())
/// ```
#[derive(Debug)]
#[doc(alias = "apply_chat_template")]
pub struct ChatTemplate {
    file: PathBuf,
    environment: Environment<'static>,
    arguments: BTreeMap<String, Value>,
}

impl ChatTemplate {
    /// Reads the template of a model's folder: `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`. If there are
    /// several, it takes the one named `default`.
    ///
    /// # Errors
    /// [`TextError::NoTemplate`], [`TextError::Template`] or [`TextError::Unreadable`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TextError> {
        let folder = folder.as_ref();
        let (file, source) = source(folder)?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| template_error(&file, &error))?);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        let template = environment.add_template_owned(NAME, without_generation_tags(&source));
        template.map_err(|error| template_error(&file, &error))?;
        let arguments = named_tokens(folder)?;
        Ok(Self { file, environment, arguments })
    }

    /// Sets a variable of the template, such as `enable_thinking` or `tools`, to a JSON value.
    ///
    /// # Errors
    /// [`TextError::Template`] if the value is not JSON.
    pub fn with_argument(mut self, name: impl Into<String>, json: &str) -> Result<Self, TextError> {
        let name = name.into();
        match serde_json::from_str(json) {
            Ok(value) => self.arguments.insert(name, value),
            Err(error) => {
                let reason = format!("the value of {name} is not JSON: {error}");
                return Err(TextError::Template { file: self.file, reason });
            }
        };
        Ok(self)
    }

    /// The text up to the beginning of the assistant's turn. If the last message is the assistant's, the text ends with that
    /// message, to be continued.
    ///
    /// # Errors
    /// [`TextError::Template`] if the template rejects the messages.
    pub fn prompt(&self, messages: &[Message]) -> Result<String, TextError> {
        let last = messages.last().filter(|message| message.role == "assistant");
        let text = self.render(messages, last.is_none())?;
        let Some(begun) = last else { return Ok(text) };
        let begun = begun.content.as_str().unwrap_or_default().trim();
        match text.rfind(begun) {
            Some(at) => Ok(text[..at + begun.len()].to_owned()),
            None => {
                let reason = "cannot continue the assistant's message, because the template changes its text";
                Err(TextError::Template { file: self.file.clone(), reason: reason.to_owned() })
            }
        }
    }

    /// The token that ends the assistant's turn, such as `<|im_end|>`: the first special token after its message. `None` if the
    /// template has none.
    pub fn turn_end(&self, tokenizer: &Tokenizer) -> Option<TokenId> {
        const REPLY: &str = "said";
        let chat = [Message::new("user", "asked"), Message::new("assistant", REPLY)];
        let text = self.render(&chat, false).ok()?;
        let (_, behind) = text.rsplit_once(REPLY)?;
        tokenizer.encode(behind).ok()?.into_iter().find(|&id| tokenizer.is_special(id))
    }

    /// The text of a chat. With `begin_answer`, followed by the beginning of the assistant's turn (transformers'
    /// `add_generation_prompt`).
    ///
    /// # Errors
    /// [`TextError::Template`] if the template rejects the messages.
    pub fn render(&self, messages: &[Message], begin_answer: bool) -> Result<String, TextError> {
        let mut variables = self.arguments.clone();
        variables.insert("messages".into(), Value::from(Serde(messages)));
        variables.insert("add_generation_prompt".into(), begin_answer.into());
        for absent in ["tools", "documents"] {
            variables.entry(absent.into()).or_insert(().into());
        }
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(&variables));
        text.map_err(|error| template_error(&self.file, &error))
    }
}

/// The template's file and text.
fn source(folder: &Path) -> Result<(PathBuf, String), TextError> {
    let file = folder.join("chat_template.jinja");
    if file.is_file() {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        return Ok((file, text));
    }
    let absent = || TextError::NoTemplate { folder: folder.to_owned() };
    let config = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let template = match &config["chat_template"] {
        serde_json::Value::String(template) => Some(template.as_str()),
        serde_json::Value::Array(named) => {
            let is_default = |entry: &&serde_json::Value| entry["name"] == "default";
            named.iter().find(is_default).and_then(|entry| entry["template"].as_str())
        }
        _ => None,
    };
    let template = template.ok_or_else(absent)?.to_owned();
    Ok((folder.join("tokenizer_config.json"), template))
}

/// The special tokens by their names in templates, such as `bos_token`.
fn named_tokens(folder: &Path) -> Result<BTreeMap<String, Value>, TextError> {
    let mut named = BTreeMap::new();
    for file in ["special_tokens_map.json", "tokenizer_config.json"] {
        let entries = json(folder, file)?.unwrap_or_default();
        for (name, token) in entries.as_object().into_iter().flatten() {
            if let (true, Some(token)) = (name.ends_with("_token"), added::content(token)) {
                named.insert(name.clone(), Value::from(token));
            }
        }
    }
    Ok(named)
}

/// Replaces `{% generation %}`, which marks the assistant's text for training and does not change it.
fn without_generation_tags(source: &str) -> String {
    let mut replaced_source = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        let (inside, after) = tag.split_once("%}").unwrap_or((tag, ""));
        let is_whole = inside.len() < tag.len();
        let name = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let replaced = match name {
            "generation" if is_whole => inside.replace("generation", "if true"),
            "endgeneration" => inside.replace("endgeneration", "endif"),
            _ => inside.to_owned(),
        };
        replaced_source.extend([before, "{%", &replaced, if is_whole { "%}" } else { "" }]);
        rest = after;
    }
    replaced_source + rest
}

/// The function that templates call to reject a chat.
fn raise_exception(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// The current time, formatted as by Python's `strftime`.
fn strftime_now(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let now = chrono::Local::now();
    write!(text, "{}", now.format(format)).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, format!("invalid time format {format}"))
    })?;
    Ok(text)
}

/// JSON as Python's `json.dumps` writes it: with a space after commas and colons, and keys in their order.
fn tojson(value: &Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        arguments.get::<Option<Value>>(ignored)?;
    }
    arguments.assert_all_used()?;
    let mut text = Vec::new();
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut text, Spaced)),
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let pretty = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut text, pretty))
        }
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&text).into_owned()))
}

/// Writes `, ` and `: `.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// An error of the template, with its line if it has one.
fn template_error(file: &Path, error: &Error) -> TextError {
    let line =
        error.line().map_or_else(String::new, |line| format!("line {line} of the chat template: "));
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the chat template does not terminate".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    TextError::Template { file: file.to_owned(), reason: line + &reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_folder::folder;

    fn template(source: &str) -> ChatTemplate {
        let folder = folder(&[("chat_template.jinja", source)]);
        ChatTemplate::open(folder.path()).unwrap()
    }

    fn chat(roles: &[&str]) -> Vec<Message> {
        roles.iter().map(|role| Message::new(*role, format!("{role}'s"))).collect()
    }

    const SIMPLE: &str = "{% for m in messages %}<{{ m['role'] }}>{{ m.content | trim }}</>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

    #[test]
    fn a_prompt_ends_at_the_assistants_turn() {
        let simple = template(SIMPLE);
        let text = simple.prompt(&chat(&["user"])).unwrap();
        assert_eq!(text, "<user>user's</>\n<assistant>");
        let begun = simple.prompt(&chat(&["user", "assistant"])).unwrap();
        assert_eq!(begun, "<user>user's</>\n<assistant>assistant's");
        let changing = template("{% for m in messages %}{{ m.content | upper }}{% endfor %}");
        assert!(changing.prompt(&chat(&["assistant"])).is_err());
    }

    #[test]
    fn the_template_is_found_in_every_place() {
        let plain = r#"{"chat_template": "one", "bos_token": {"content": "<s>"}}"#;
        let several = r#"{"chat_template": [{"name": "tools", "template": "two"}, {"name": "default", "template": "three"}]}"#;
        for (files, expected) in [
            (vec![("tokenizer_config.json", plain)], Some("one")),
            (vec![("tokenizer_config.json", several)], Some("three")),
            (
                vec![("tokenizer_config.json", plain), ("chat_template.jinja", "{{ bos_token }}4")],
                Some("<s>4"),
            ),
            (vec![("tokenizer_config.json", "{}")], None),
            (vec![], None),
        ] {
            let folder = folder(&files);
            let text =
                ChatTemplate::open(folder.path()).map(|template| template.prompt(&[]).unwrap());
            match expected {
                Some(expected) => assert_eq!(text.unwrap(), expected),
                None => assert!(matches!(text, Err(TextError::NoTemplate { .. }))),
            }
        }
    }

    #[test]
    fn the_end_of_a_turn_is_found() {
        let files = folder(&[
            ("vocab.json", r#"{"a": 0, "Ċ": 1}"#),
            ("merges.txt", "#version: 0.2\n"),
            ("added_tokens.json", r#"{"<|end|>": 2, "<|stop|>": 3}"#),
        ]);
        let tokenizer = Tokenizer::open(files.path()).unwrap();
        let end = |source: &str| template(source).turn_end(&tokenizer);
        assert_eq!(
            end("<|stop|>{% for m in messages %}{{ m.content }}\n<|end|>{% endfor %}"),
            Some(2)
        );
        assert_eq!(end("{% for m in messages %}{{ m.content }}\n{% endfor %}"), None);
        assert_eq!(end("{{ raise_exception('no') }}"), None);
    }

    #[test]
    fn a_template_may_reject_a_chat_and_never_hangs() {
        for (source, expected) in [
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            ("a\n{{ messages.nothing.at_all }}", "line 2"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
                "does not terminate",
            ),
        ] {
            let error = template(source).prompt(&chat(&["user"])).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("chat_template.jinja"), "{error}");
        }
        let folder = folder(&[("chat_template.jinja", "{% if %}")]);
        assert!(matches!(ChatTemplate::open(folder.path()), Err(TextError::Template { .. })));
    }

    #[test]
    fn generation_tags_do_not_change_the_text() {
        let marked =
            "{%- generation -%}  a  {%- endgeneration %} b {% generation %}\nc{% endgeneration %}";
        assert_eq!(template(marked).prompt(&[]).unwrap(), "a b c");
        assert_eq!(without_generation_tags("{% generation"), "{% generation");
    }

    #[test]
    fn arguments_reach_the_template() {
        let with = |name: &str, json: &str| {
            let template = template("{{ enable_thinking }} {{ tools | tojson }}");
            template.with_argument(name, json)?.prompt(&[])
        };
        assert_eq!(with("enable_thinking", "false").unwrap(), "False null");
        let tools = r#"[{"name":"f","é":[1,2.5]}]"#;
        assert_eq!(with("tools", tools).unwrap(), r#" [{"name": "f", "é": [1, 2.5]}]"#);
        assert!(with("tools", "[").unwrap_err().to_string().contains("tools"));
    }
}
