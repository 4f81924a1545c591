//! The tokenizer of the model, in the forms of vLLM's server. lm-evaluation-harness uses them in place of a tokenizer of its own.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use conjoint::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::error::ApiError;
use super::request::json;
use super::{App, blocking, body};
use crate::served::Served;

/// A body of `/tokenize`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// Any name of the model.
    model: Option<String>,
    prompt: String,
    /// Whether to add the tokens that the tokenizer puts before every text. By default it does.
    add_special_tokens: Option<bool>,
}

/// A body of `/detokenize`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    model: Option<String>,
    tokens: Vec<TokenId>,
}

fn check_model(app: &App, model: Option<&str>) -> Result<(), ApiError> {
    let is_known = |name: &str| app.served.line(name).is_some();
    match model {
        Some(name) if !is_known(name) => Err(ApiError::no_model(name, &app.served.names())),
        _ => Ok(()),
    }
}

/// A text as token ids.
pub async fn tokenize(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let Text { model, prompt, add_special_tokens } = json(&body(&app, request).await?)?;
    check_model(&app, model.as_deref())?;
    let encode = move |served: &Served| {
        let tokens = match add_special_tokens.unwrap_or(true) {
            true => served.model.prompt("prompt", &prompt),
            false => served.model.encode("prompt", &prompt),
        };
        tokens.map_err(|error| ApiError::of(&error))
    };
    let tokens = blocking(&app, encode).await?;
    let served = &app.served;
    let longest = served.model.denoiser.max_length().unwrap_or(served.limits.length);
    let longest = longest.min(served.limits.length);
    let answer = json!({"count": tokens.len(), "max_model_len": longest, "tokens": tokens});
    Ok(axum::Json(answer).into_response())
}

/// Token ids as a text.
pub async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Ids { model, tokens } = json(&body(&app, request).await?)?;
    check_model(&app, model.as_deref())?;
    let size = app.served.model.denoiser.vocabulary().size();
    if let Some(id) = tokens.iter().find(|&&id| id as usize >= size) {
        let message = format!("id {id} is outside the vocabulary of {size} ids");
        return Err(ApiError::param("tokens", message));
    }
    let decode = move |served: &Served| {
        let text = served.tokenizer().decode(&tokens);
        text.map_err(|error| ApiError::param("tokens", error.to_string()))
    };
    let text = blocking(&app, decode).await?;
    Ok(axum::Json(json!({"prompt": text})).into_response())
}

/// The special tokens.
pub async fn info(State(app): State<Arc<App>>) -> Response {
    let vocabulary = app.served.model.denoiser.vocabulary();
    let piece = |id: Option<TokenId>| id.map(|id| app.piece(id));
    let answer = json!({
        "eos_token": piece(vocabulary.eos()),
        "bos_token": piece(vocabulary.bos()),
        "pad_token": piece(vocabulary.pad()),
        "mask_token": piece(Some(vocabulary.mask())),
        "vocab_size": vocabulary.size(),
    });
    axum::Json(answer).into_response()
}
