//! Answers in the forms of OpenAI's API.

use std::time::{SystemTime, UNIX_EPOCH};

use conjoint::FinishReason;
use conjoint::prelude::*;
use conjoint_lab::requests::completion;
use serde_json::{Map, Value, json};

use super::ApiError;
use super::plan::{Choice, Plan};
use super::text::{Delta, Growing};
use crate::engine::{Score, Scores};
use crate::served::Served;

/// The two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/completions`.
    Completions,
    /// `/v1/chat/completions`.
    Chat,
}

impl Endpoint {
    fn object(self, is_chunk: bool) -> &'static str {
        match (self, is_chunk) {
            (Self::Completions, _) => "text_completion",
            (Self::Chat, false) => "chat.completion",
            (Self::Chat, true) => "chat.completion.chunk",
        }
    }

    fn id_prefix(self) -> &'static str {
        match self {
            Self::Completions => "cmpl",
            Self::Chat => "chatcmpl",
        }
    }
}

/// The fields that an answer, or each event of a stream, begins with.
pub struct Head {
    endpoint: Endpoint,
    id: String,
    created: u64,
    model: String,
}

/// What a finished sequence adds to the counts of its request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub tokens: usize,
    pub denoiser_calls: usize,
    pub sampler_calls: usize,
    pub steps: usize,
}

/// A finished sequence.
pub struct Finished {
    /// The generated text up to its end.
    pub text: String,
    /// The reason of its end.
    pub reason: &'static str,
    /// The positions of its generated tokens, the one that ended it included.
    pub positions: std::ops::Range<usize>,
    /// All tokens.
    pub tokens: Vec<TokenId>,
    pub counts: Counts,
}

impl Head {
    /// The head of an answer to a request for `model`.
    pub fn new(endpoint: Endpoint, model: &str, number: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{}-{:x}-{number}", endpoint.id_prefix(), now.as_micros());
        Self { endpoint, id, created: now.as_secs(), model: model.to_owned() }
    }

    /// An answer, or an event of a stream, with these choices.
    pub fn with(&self, is_chunk: bool, choices: Vec<Value>) -> Map<String, Value> {
        let object = self.endpoint.object(is_chunk);
        let fields = [
            ("id", json!(self.id)),
            ("object", json!(object)),
            ("created", json!(self.created)),
            ("model", json!(self.model)),
            ("choices", json!(choices)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A choice of a whole answer. `logprobs` is null without log-probabilities.
    pub fn choice(&self, index: usize, text: &str, logprobs: &Value, reason: &str) -> Value {
        match self.endpoint {
            Endpoint::Completions => {
                json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason})
            }
            Endpoint::Chat => {
                let message = json!({"role": "assistant", "content": text});
                json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
            }
        }
    }

    /// A choice of an event. The first one of a chat has the role.
    pub fn delta(
        &self,
        index: usize,
        text: &str,
        is_first: bool,
        logprobs: &Value,
        reason: Option<&str>,
    ) -> Value {
        match self.endpoint {
            Endpoint::Completions => {
                json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason})
            }
            Endpoint::Chat => {
                let mut delta = Map::new();
                if is_first {
                    delta.insert("role".to_owned(), json!("assistant"));
                }
                if !text.is_empty() || is_first {
                    delta.insert("content".to_owned(), json!(text));
                }
                json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason})
            }
        }
    }

    /// The log-probabilities of tokens, each with its score if it has one.
    pub fn logprobs(
        &self,
        served: &Served,
        tokens: &[(TokenId, Option<Score>)],
        before: usize,
    ) -> Value {
        let piece = |token: TokenId| served.piece(token);
        match self.endpoint {
            Endpoint::Chat => {
                let entry = |token: TokenId, log_p: Option<f64>| {
                    let text = piece(token);
                    json!({"token": text, "logprob": log_p.map(finite), "bytes": text.as_bytes()})
                };
                let content = tokens.iter().map(|(token, score)| {
                    let mut made = entry(*token, score.as_ref().map(|score| score.log_p));
                    let top = score.iter().flat_map(|score| &score.top);
                    made["top_logprobs"] =
                        top.map(|&(token, log_p)| entry(token, Some(log_p))).collect();
                    made
                });
                json!({"content": content.collect::<Vec<_>>()})
            }
            Endpoint::Completions => {
                let mut offset = before;
                let (mut texts, mut values, mut tops, mut offsets) =
                    (vec![], vec![], vec![], vec![]);
                for (token, score) in tokens {
                    let text = piece(*token);
                    offsets.push(offset);
                    offset += text.chars().count();
                    texts.push(text);
                    values.push(json!(score.as_ref().map(|score| finite(score.log_p))));
                    tops.push(score.as_ref().map(|score| {
                        // The token itself comes last, so that it is there if two tokens have one text.
                        let own = (*token, score.log_p);
                        let top =
                            score.top.iter().copied().chain((!score.top.is_empty()).then_some(own));
                        top.map(|(token, log_p)| (piece(token), json!(finite(log_p))))
                            .collect::<Map<_, _>>()
                    }));
                }
                json!({"tokens": texts, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets})
            }
        }
    }
}

/// JSON has no infinity.
fn finite(log_p: f64) -> f64 {
    log_p.max(-9999.0)
}

impl Counts {
    /// Adds those of another sequence.
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.denoiser_calls += other.denoiser_calls;
        self.sampler_calls += other.sampler_calls;
        self.steps += other.steps;
    }

    /// `usage`, and the key `conjoint` with the cost and the seed.
    pub fn fields(&self, plan: &Plan) -> [(String, Value); 2] {
        let prompt: usize = plan.prompts.iter().map(|prompt| prompt.given).sum();
        let usage = json!({
            "prompt_tokens": prompt,
            "completion_tokens": self.tokens,
            "total_tokens": prompt + self.tokens,
        });
        let Self { denoiser_calls, sampler_calls, steps, .. } = self;
        let cost = json!({
            "seed": plan.seed,
            "denoiser_calls": denoiser_calls,
            "sampler_calls": sampler_calls,
            "steps": steps,
        });
        [("usage".to_owned(), usage), ("conjoint".to_owned(), cost)]
    }
}

/// A finished or interrupted sequence as an answer has it.
///
/// # Errors
/// The tokenizer cannot decode its tokens.
pub fn finished(
    served: &Served,
    plan: &Plan,
    choice: &Choice,
    output: Output,
) -> Result<Finished, ApiError> {
    let error = |error: conjoint_lab::Error| ApiError::internal(error.to_string());
    let start = output.generated.start;
    let counts = Counts {
        tokens: output.drawn,
        denoiser_calls: output.denoiser_calls,
        sampler_calls: output.sampler_calls,
        steps: output.steps,
    };
    let reason = match output.finish {
        FinishReason::Length => "length",
        FinishReason::EndOfSequence | FinishReason::Stop => "stop",
        FinishReason::Deadline => "deadline",
        _ => "cancelled",
    };
    let (text, end) = match (&choice.canvas, output.finish.is_early()) {
        // What is final of an interrupted sequence is its part before the first mask.
        (Some(canvas), true) => {
            let mut growing = Growing::new(canvas, &plan.ends, Vec::new());
            output.tokens.iter().enumerate().for_each(|(i, &token)| growing.set(i, Some(token)));
            let delta = growing.advance(served.tokenizer()).map_err(error)?;
            let end = delta.as_ref().map_or(start, |delta| delta.positions.end);
            // A strategy that revises has no final part before the end.
            let text = delta.filter(|_| !plan.revises).map(|delta| delta.text);
            (text.unwrap_or_default(), if plan.revises { start } else { end })
        }
        _ => {
            let text = completion(&output, &served.model, &choice.stops).map_err(error)?;
            (text.unwrap_or_default(), output.end.clamp(start, output.generated.end))
        }
    };
    Ok(Finished { text, reason, positions: start..end, tokens: output.tokens, counts })
}

/// The tokens at these positions with their scores.
pub fn scored(
    tokens: &[TokenId],
    positions: std::ops::Range<usize>,
    scores: Option<&Scores>,
) -> Vec<(TokenId, Option<Score>)> {
    // A reviser may have replaced a token without a row of the unmasker.
    let score = |position: usize| {
        let score = scores.and_then(|scores| scores.at(position));
        score.filter(|score| score.token == tokens[position])
    };
    positions.map(|position| (tokens[position], score(position))).collect()
}

/// The log-probabilities of a part of a text; null if none were asked for.
pub fn delta_logprobs(
    served: &Served,
    head: &Head,
    choice: &Choice,
    tokens: &[TokenId],
    delta: &Delta,
    before: usize,
) -> Value {
    match &choice.scores {
        None => Value::Null,
        Some(scores) => {
            head.logprobs(served, &scored(tokens, delta.positions.clone(), Some(scores)), before)
        }
    }
}
