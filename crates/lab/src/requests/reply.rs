use std::ops::Range;

use conjoint::prelude::*;
use conjoint::{FinishReason, StopText};
use serde::Serialize;
use serde_json::Value;

use super::request::Request;
use crate::Error;
use crate::model::Model;

/// The reply to a request: a line of the file of replies.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reply {
    /// The index of the request, from 0.
    pub index: usize,
    /// The index of the sample, from 0.
    pub sample: u32,
    /// The `id` of the request, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// The number of given tokens before the first generated one.
    pub prompt_tokens: usize,
    /// The generated text up to its end. None without a tokenizer.
    pub completion: Option<String>,
    /// The whole text of a sequence with holes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The generated tokens, including the one that ended the sequence and given tokens between holes.
    pub tokens: Vec<TokenId>,
    /// `length`, `eos`, `stop` or `error`.
    pub finish_reason: &'static str,
    /// The number of full forwards.
    pub denoiser_calls: usize,
    /// The number of sampler passes.
    pub sampler_calls: usize,
    /// The error, if the sequence failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Reply {
    /// The reply of a sequence that failed.
    pub(super) fn failed(
        (index, sample): (usize, u32),
        id: Option<Value>,
        error: impl ToString,
    ) -> Self {
        Self {
            index,
            sample,
            id,
            prompt_tokens: 0,
            completion: None,
            text: None,
            tokens: Vec::new(),
            finish_reason: "error",
            denoiser_calls: 0,
            sampler_calls: 0,
            error: Some(error.to_string()),
        }
    }

    /// The reply of a finished sequence.
    pub(super) fn of(
        (index, sample): (usize, u32),
        request: &Request,
        output: &Output,
        model: &Model,
        stops: &[StopText],
    ) -> Result<Self, Error> {
        let start = output.generated.start;
        let completion = completion(output, model, stops)?;
        let has_holes = request.infill.is_some() || request.infill_ids.is_some();
        let text = match (&model.tokenizer, has_holes) {
            (Some(tokenizer), true) => Some(tokenizer.decode(output.text_tokens())?),
            _ => None,
        };
        Ok(Self {
            index,
            sample,
            id: request.id.clone(),
            prompt_tokens: start,
            completion,
            text,
            tokens: output.tokens[start..output.end.clamp(start, output.generated.end)].to_vec(),
            finish_reason: finish_reason(output.finish),
            denoiser_calls: output.denoiser_calls,
            sampler_calls: output.sampler_calls,
            error: None,
        })
    }
}

/// The `finish_reason` of a reply.
pub fn finish_reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Length => "length",
        FinishReason::EndOfSequence => "eos",
        FinishReason::Stop => "stop",
        _ => "cancelled",
    }
}

/// The generated text of an output up to its end. None without a tokenizer.
///
/// # Errors
/// [`Error::Text`].
pub fn completion(
    output: &Output,
    model: &Model,
    stops: &[StopText],
) -> Result<Option<String>, Error> {
    let Some(tokenizer) = &model.tokenizer else { return Ok(None) };
    let start = output.generated.start;
    // The token that ends the sequence does not belong to its text.
    let kept = match output.finish {
        FinishReason::EndOfSequence => output.end.saturating_sub(1),
        _ => output.end,
    };
    let kept = kept.clamp(start, output.generated.end);
    let text = text_of(tokenizer, &output.tokens, start..kept)?;
    let stops = stops.iter().filter(|_| output.finish == FinishReason::Stop);
    let cut = stops.map(|stop| stop.cut(&text).len()).min();
    Ok(Some(text[..cut.unwrap_or(text.len())].to_owned()))
}

/// The text of a range of tokens, as it follows the tokens before it.
///
/// # Errors
/// [`Error::Text`].
pub fn text_of(
    tokenizer: &Tokenizer,
    tokens: &[TokenId],
    range: Range<usize>,
) -> Result<String, Error> {
    // Some tokenizers decode a token differently at the beginning of a text.
    let given = tokenizer.decode(&tokens[..range.start])?;
    let whole = tokenizer.decode(&tokens[..range.end])?;
    Ok(match whole.strip_prefix(&given) {
        Some(text) => text.to_owned(),
        None => tokenizer.decode(&tokens[range])?,
    })
}
