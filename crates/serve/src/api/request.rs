//! Bodies of requests. Unknown parameters are errors.

use std::collections::BTreeMap;

use conjoint::{Message, TokenId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Parameters of all requests.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Common {
    pub model: Option<String>,
    pub n: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<usize>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub logit_bias: Option<BTreeMap<String, f64>>,
    pub user: Option<String>,
    pub conjoint: Option<Extension>,
}

/// A body of `/v1/completions`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Completion {
    #[serde(flatten)]
    pub common: Common,
    pub prompt: Option<Prompts>,
    pub suffix: Option<String>,
    pub max_tokens: Option<u32>,
    pub echo: Option<bool>,
    pub logprobs: Option<usize>,
    pub best_of: Option<u32>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A body of `/v1/chat/completions`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Chat {
    #[serde(flatten)]
    pub common: Common,
    pub messages: Option<Vec<Value>>,
    pub max_tokens: Option<u32>,
    pub max_completion_tokens: Option<u32>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<usize>,
    pub response_format: Option<Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Prompts: texts or token ids, one or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "`prompt`: expected a text, texts, token ids or lists of token ids")]
pub enum Prompts {
    Text(String),
    Ids(Vec<TokenId>),
    Texts(Vec<String>),
    IdLists(Vec<Vec<TokenId>>),
}

impl Prompts {
    /// The number of prompts.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Ids(_) => 1,
            Self::Texts(many) => many.len(),
            Self::IdLists(many) => many.len(),
        }
    }
}

/// Settings of a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamOptions {
    pub include_usage: bool,
}

/// The settings of this server that OpenAI's API does not have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Extension {
    /// How tokens are drawn.
    pub unmasker: Option<String>,
    /// How many tokens a step reveals.
    pub schedule: Option<String>,
    /// What masks tokens again.
    pub revise: Option<String>,
    /// Where tokens are revealed first.
    pub order: Option<String>,
    pub order_temperature: Option<f64>,
    pub block_length: Option<u32>,
    pub open_next_block: Option<f64>,
    pub cache: Option<String>,
    pub cfg_scale: Option<f64>,
    /// A text with holes, in place of the prompt.
    pub infill: Option<String>,
    /// Whether a sequence ends at an end-of-sequence token. By default it does.
    pub stop_at_eos: Option<bool>,
    /// With a stream: whether each step is an event.
    pub events: bool,
    /// Seconds after which the request is ended.
    pub timeout: Option<f64>,
}

impl Completion {
    /// Parses a body.
    ///
    /// # Errors
    /// 400, with the parameter.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let made: Self = json(body)?;
        reject_unknown(&made.unknown)?;
        Ok(made)
    }
}

impl Chat {
    /// Parses a body.
    ///
    /// # Errors
    /// 400, with the parameter.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let made: Self = json(body)?;
        reject_unknown(&made.unknown)?;
        Ok(made)
    }

    /// The messages. A content is a text, or a list of texts as the API allows.
    ///
    /// # Errors
    /// 400 for content that is no text, and for keys that are neither `role` nor `content`.
    pub fn messages(&self) -> Result<Vec<Message>, ApiError> {
        let messages = self.messages.as_deref().unwrap_or_default();
        if messages.is_empty() {
            return Err(ApiError::param("messages", "`messages` is missing: give at least one"));
        }
        messages.iter().enumerate().map(|(i, message)| chat_message(i, message)).collect()
    }
}

fn chat_message(index: usize, message: &Value) -> Result<Message, ApiError> {
    let place = format!("messages[{index}]");
    let invalid = |what: &str| ApiError::param(&place, format!("`{place}`: {what}"));
    let object = message.as_object().ok_or_else(|| invalid("expected an object"))?;
    for (key, value) in object {
        if !matches!(key.as_str(), "role" | "content" | "name") && !value.is_null() {
            return Err(invalid(&format!("the key `{key}` is not supported")));
        }
    }
    let role = object.get("role").and_then(Value::as_str);
    let role = role.ok_or_else(|| invalid("expected a `role`"))?;
    let no_text = || invalid("expected a `content` that is a text, or a list of texts");
    let content = match object.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
            let is_text = |part: &Value| part.get("type").is_none_or(|kind| kind == "text");
            let texts = parts.iter().map(|part| text(part).filter(|_| is_text(part)));
            texts.collect::<Option<String>>().ok_or_else(no_text)?
        }
        _ => return Err(no_text()),
    };
    Ok(Message::new(role, content))
}

/// Parses a JSON object.
///
/// # Errors
/// 400, with the parameter.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::invalid("expected a JSON object as the body"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body cannot be read: {error}");
        match at_fault::<T>(body) {
            Some(name) => ApiError::param(conjoint_lab::abbreviated(&name).as_ref(), message),
            None => ApiError::invalid(message),
        }
    })
}

/// The parameter of `body` that a `T` cannot have: the first one that alone gives another error than none at all.
fn at_fault<T: DeserializeOwned>(body: &[u8]) -> Option<String> {
    let all: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let error = |body: Map<String, Value>| {
        serde_json::from_value::<T>(body.into()).err().map(|error| error.to_string())
    };
    let of_none = error(Map::new());
    let is_wrong = |(name, value): &(String, Value)| {
        let alone = error(Map::from_iter([(name.clone(), value.clone())]));
        alone.is_some() && alone != of_none
    };
    all.into_iter().find(is_wrong).map(|(name, _)| name)
}

fn reject_unknown(unknown: &Map<String, Value>) -> Result<(), ApiError> {
    match unknown.keys().next() {
        None => Ok(()),
        Some(name) => {
            let shown = conjoint_lab::abbreviated(name);
            let message = format!("the parameter `{shown}` is not supported by this server");
            Err(ApiError::param(shown.as_ref(), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        let error = Completion::parse(body.as_bytes()).unwrap_err();
        error.body()["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn every_form_of_a_prompt_is_read() {
        let parse = |text: &str| Completion::parse(text.as_bytes()).unwrap().prompt;
        assert!(matches!(parse(r#"{"prompt": "a"}"#), Some(Prompts::Text(_))));
        assert!(matches!(parse(r#"{"prompt": ["a", "b"]}"#), Some(Prompts::Texts(_))));
        assert!(matches!(parse(r#"{"prompt": [1, 2]}"#), Some(Prompts::Ids(_))));
        assert!(matches!(parse(r#"{"prompt": [[1], [2]]}"#), Some(Prompts::IdLists(_))));
        assert!(parse(r#"{"prompt": null, "stop": null, "seed": null}"#).is_none());
        assert!(message(r#"{"prompt": {"a": 1}}"#).contains("expected a text, texts, token ids"));
    }

    #[test]
    fn a_parameter_of_another_type_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            #[allow(dead_code)]
            prompt: String,
            #[allow(dead_code)]
            model: Option<String>,
        }
        let param = |error: ApiError| error.body()["error"]["param"].clone();
        for (body, name) in [
            (r#"{"prompt": "a", "n": "two", "seed": 1}"#, "n"),
            (r#"{"prompt": {"a": 1}}"#, "prompt"),
            (r#"{"prompt": "a", "conjoint": {"unmaskr": "joint"}}"#, "conjoint"),
            (r#"{"stream_options": {"usage": true}}"#, "stream_options"),
        ] {
            assert_eq!(param(Completion::parse(body.as_bytes()).unwrap_err()), name);
        }
        let text = |body: &str| param(json::<Text>(body.as_bytes()).unwrap_err());
        assert_eq!(text(r#"{"model": 3, "prompt": "a"}"#), "model");
        assert_eq!(text(r#"{"model": "a", "prompt": 3}"#), "prompt");
        assert_eq!(text(r#"{"prompt": "a", "text": "b"}"#), "text");
        // Nothing that is there is at fault.
        assert_eq!(text(r#"{"model": "a"}"#), Value::Null);
        assert_eq!(text(r#"{"prompt": "#), Value::Null);
    }

    #[test]
    fn unknown_parameters_are_named() {
        assert!(message(r#"{"prompt": "a", "temperatures": 1}"#).contains("`temperatures`"));
        let nested = r#"{"prompt": "a", "conjoint": {"unmaskr": "joint"}}"#;
        assert!(message(nested).contains("unmaskr"));
        assert!(message("[1]").contains("JSON object"));
        assert!(message("{\"n\": \"two\"}").contains("invalid type"));
        let known = r#"{"model": "m", "prompt": "a", "n": 2, "temperature": 0.5, "top_k": 4,
            "stop": ["x"], "stream": true, "stream_options": {"include_usage": true},
            "conjoint": {"unmasker": "joint", "events": true}}"#;
        let made = Completion::parse(known.as_bytes()).unwrap();
        assert_eq!(made.common.n, Some(2));
        assert!(made.common.conjoint.unwrap().events);
    }

    #[test]
    fn messages_are_texts() {
        let parse = |text: &str| Chat::parse(text.as_bytes()).unwrap().messages();
        let parts = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}"#;
        assert_eq!(parse(parts).unwrap(), [Message::new("user", "ab")]);
        for wrong in [
            r#"{"messages": []}"#,
            r#"{"messages": [{"role": "user"}]}"#,
            r#"{"messages": [{"content": "a"}]}"#,
            r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
            r#"{"messages": [{"role": "assistant", "content": "a", "tool_calls": [1]}]}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
