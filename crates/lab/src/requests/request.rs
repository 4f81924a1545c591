//! Requests, one per line of a file.

use std::io::Read;
use std::path::Path;

use conjoint::{Message, TokenId};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::prompt::PromptInput;
use crate::{Error, Sampling};

/// One sequence to generate: an object of a JSON lines file. It has exactly one of the first five fields.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// A text to continue.
    pub prompt: Option<String>,
    /// Token ids to continue.
    pub prompt_ids: Option<Vec<TokenId>>,
    /// A chat to answer.
    pub messages: Option<Vec<Message>>,
    /// A text with holes.
    pub infill: Option<String>,
    /// Token ids with holes.
    pub infill_ids: Option<Vec<TokenId>>,
    /// Any value. The reply repeats it.
    pub id: Option<Value>,
    /// Tokens to generate.
    pub gen_length: Option<u32>,
    /// A seed for this request alone.
    pub seed: Option<u64>,
    /// The temperature: divides the logits. 0 takes the most probable token.
    pub temperature: Option<f64>,
    /// Keeps the N most probable tokens.
    pub top_k: Option<usize>,
    /// Keeps the most probable tokens that sum to more than P.
    pub top_p: Option<f64>,
    /// Keeps tokens with at least P times the largest probability.
    pub min_p: Option<f64>,
    /// Texts that end the sequence, in addition to those of all requests.
    pub stop: Vec<String>,
}

impl Request {
    /// The given part of the sequence.
    ///
    /// # Errors
    /// A message if there is not exactly one.
    pub fn given(&self) -> Result<PromptInput, String> {
        let given = [
            self.prompt.clone().map(PromptInput::Prompt),
            self.prompt_ids.clone().map(PromptInput::PromptIds),
            self.messages.clone().map(PromptInput::Chat),
            self.infill.clone().map(PromptInput::Infill),
            self.infill_ids.clone().map(PromptInput::InfillIds),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(given), None) => Ok(given),
            _ => Err("expected one of prompt, prompt_ids, messages, infill and infill_ids".into()),
        }
    }

    /// Whether the request is a text with holes.
    pub(super) fn has_holes(&self) -> bool {
        self.infill.is_some() || self.infill_ids.is_some()
    }

    /// Whether the request has sampling settings of its own.
    pub(super) fn has_settings(&self) -> bool {
        let filters = [self.temperature, self.top_p, self.min_p];
        filters.iter().any(Option::is_some) || self.top_k.is_some() || !self.stop.is_empty()
    }

    /// The settings of all requests, with those of this one.
    pub(super) fn sampling(&self, all: &Sampling) -> Sampling {
        let mut sampling = all.clone();
        let filters = &mut sampling.filters;
        filters.temperature = self.temperature.unwrap_or(filters.temperature);
        filters.top_k = self.top_k.or(filters.top_k);
        filters.top_p = self.top_p.or(filters.top_p);
        filters.min_p = self.min_p.or(filters.min_p);
        sampling.stops.texts.extend(self.stop.iter().cloned());
        sampling
    }
}

/// The lines of a file of requests. An invalid line is an error of that line alone.
#[derive(Debug, Clone)]
pub struct Requests {
    /// Each request, or the error of its line, with the number of the line from 1.
    pub lines: Vec<(usize, Result<Request, String>)>,
    /// Checksum of the content.
    pub checksum: String,
}

impl Requests {
    /// Reads a file: a `.jsonl` file has a request on each line, any other file a prompt, with `\n` for a line break.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `prompts` if the file cannot be read or is empty.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let invalid = |reason: String| Error::parameter("prompts", path.display(), reason);
        let content = std::fs::read(path).map_err(|error| invalid(error.to_string()))?;
        let is_json = path.extension().is_some_and(|extension| extension == "jsonl");
        Self::of(&content, is_json).map_err(invalid)
    }

    /// Reads a stream, such as standard input: requests if it begins with `{`, otherwise prompts.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn from_stream(mut stream: impl Read) -> Result<Self, Error> {
        let invalid = |reason: String| Error::parameter("prompts", "-", reason);
        let mut content = Vec::new();
        stream.read_to_end(&mut content).map_err(|error| invalid(error.to_string()))?;
        let is_json = content.trim_ascii_start().starts_with(b"{");
        Self::of(&content, is_json).map_err(invalid)
    }

    /// Parses the content of a file. Empty lines are ignored.
    ///
    /// # Errors
    /// A message if there is no line.
    pub fn of(content: &[u8], is_json: bool) -> Result<Self, String> {
        let checksum = format!("{:x}", Sha256::digest(content));
        let lines =
            content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).split(|&byte| byte == b'\n');
        let lines = (1..).zip(lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)));
        let request = |line: &[u8]| -> Result<Request, String> {
            let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
            match is_json {
                true if !text.trim_start().starts_with('{') => Err("expected an object".to_owned()),
                true => serde_json::from_str(text).map_err(|error| one_line(&error)),
                false => {
                    let prompt = Some(text.replace("\\n", "\n"));
                    Ok(Request { prompt, ..Request::default() })
                }
            }
        };
        let lines: Vec<_> = lines
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| (number, request(line)))
            .collect();
        match lines.is_empty() {
            true => Err("the file has no prompt".to_owned()),
            false => Ok(Self { lines, checksum }),
        }
    }
}

/// An error in the JSON of one line. Keys are quoted by `'`, because parameters of the library are quoted by backticks.
fn one_line(error: &serde_json::Error) -> String {
    error.to_string().replace('`', "'").replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &str, is_json: bool) -> Vec<(usize, Result<Request, String>)> {
        Requests::of(content.as_bytes(), is_json).unwrap().lines
    }

    #[test]
    fn prompts_are_one_per_line() {
        let found = lines("one\r\n\n two\\nlines\n{\"prompt\": 1}", false);
        let prompts: Vec<_> = found
            .into_iter()
            .map(|(line, request)| (line, request.unwrap().prompt.unwrap()))
            .collect();
        let expected = [(1, "one"), (3, " two\nlines"), (4, "{\"prompt\": 1}")];
        assert_eq!(prompts, expected.map(|(line, text)| (line, text.to_owned())));
        assert!(Requests::of(b"\n \n", false).is_err());
    }

    #[test]
    fn an_invalid_line_is_an_error_of_its_own() {
        let found = lines(
            "{\"prompt\": \"a\", \"id\": [1], \"seed\": 3, \"stop\": [\".\"]}\n{\"promt\": \"b\"}\n[]\n{\"prompt\": \"c\"}",
            true,
        );
        let first = found[0].1.clone().unwrap();
        assert_eq!(
            (first.id, first.seed, first.stop),
            (Some(serde_json::json!([1])), Some(3), vec![".".into()])
        );
        let unknown = found[1].1.clone().unwrap_err();
        assert!(unknown.contains("'promt'") && unknown.contains("'gen_length'"), "{unknown}");
        assert!(unknown.ends_with(" at column 8"), "{unknown}");
        assert!(found[2].1.is_err() && found[3].1.is_ok());
        let requests = Requests::of(b"ok\n\xff\xfe\nok", false).unwrap();
        assert!(requests.lines[1].1.clone().unwrap_err().contains("UTF-8"));
        assert!(requests.lines[2].1.is_ok());
    }

    #[test]
    fn exactly_one_input_is_given() {
        let given = |text: &str| serde_json::from_str::<Request>(text).unwrap().given();
        assert_eq!(given(r#"{"infill": "a"}"#), Ok(PromptInput::Infill("a".into())));
        let chat = given(r#"{"messages": [{"role": "user", "content": "a"}]}"#);
        assert_eq!(chat, Ok(PromptInput::Chat(vec![Message::new("user", "a")])));
        for text in ["{}", r#"{"prompt": "a", "infill_ids": [1]}"#] {
            assert!(given(text).unwrap_err().contains("infill_ids"));
        }
    }

    #[test]
    fn the_beginning_of_a_stream_decides_its_format() {
        let first = |text: &str| {
            Requests::from_stream(text.as_bytes()).unwrap().lines[0].1.clone().unwrap()
        };
        assert_eq!(first(" {\"prompt\": \"a\"}").prompt.unwrap(), "a");
        assert_eq!(first("plain").prompt.unwrap(), "plain");
    }
}
