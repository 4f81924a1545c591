//! Errors in the form of OpenAI's API.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conjoint_lab::Error;
use serde_json::{Value, json};

/// An error of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    /// Seconds after which to try again.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into(), retry_after: None }
    }

    /// An invalid request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// An invalid parameter.
    pub fn param(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(name.into()), ..Self::invalid(message) }
    }

    /// A request that is invalid before its parameters are read: its method, its type, its size.
    pub fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, ..Self::invalid(message) }
    }

    /// An unknown model.
    pub fn no_model(name: &str, names: &[String]) -> Self {
        let message = format!(
            "the model `{}` does not exist: expected one of {}",
            conjoint_lab::abbreviated(name),
            names.join(", ")
        );
        let (status, code) = (StatusCode::NOT_FOUND, Some("model_not_found"));
        Self { status, code, ..Self::param("model", message) }
    }

    /// A missing or wrong key.
    pub fn unauthorized() -> Self {
        let message = "expected the header `Authorization: Bearer KEY` with the key of this server";
        let error = Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message);
        Self { code: Some("invalid_api_key"), ..error }
    }

    /// A full queue.
    pub fn full(waiting: usize, retry_after: u64) -> Self {
        let message = format!("{waiting} sequences wait already: try again in {retry_after} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("queue_full"), retry_after: Some(retry_after), ..error }
    }

    /// More sequences than there are places.
    pub fn too_many(count: usize, most: usize) -> Self {
        let message = format!(
            "the request has {count} sequences, scored prompts included: this server has places for {most}"
        );
        Self::param("prompt", message)
    }

    /// The time of a request was over before its prompt was scored.
    pub fn deadline() -> Self {
        let message = "the time of the request was over before its prompt was scored";
        let error = Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message);
        Self { code: Some("deadline"), ..error }
    }

    /// The server is stopping.
    pub fn stopping() -> Self {
        let message = "the server is stopping";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
    }

    /// An error of the server.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// An error of the library in a parameter, by the name of the parameter in a request.
    pub fn of(error: &Error) -> Self {
        let message = in_api_names(&error.to_string());
        match error {
            // The value is a folder of the server.
            Error::Parameter { name: "chat", reason, .. } => {
                let reason = in_api_names(reason);
                let message = format!("the model has no usable chat template: {reason}");
                Self::param("messages", message)
            }
            Error::Parameter { name, .. } | Error::Missing { name, .. } => {
                Self::param(api_name(name), message)
            }
            Error::Unused { name, reason, .. } => {
                let (name, reason) = (api_name(name), in_api_names(reason));
                Self::param(&name, format!("`{name}` would have no effect: {reason}"))
            }
            Error::Sampling(conjoint::Error::Parameter { name, .. }) => {
                Self::param(api_name(name), message)
            }
            Error::Name(_) | Error::Lacking(_) | Error::Sampling(_) | Error::Text(_) => {
                Self::invalid(message)
            }
            _ => Self::internal(message),
        }
    }

    /// The body.
    pub fn body(&self) -> Value {
        let Self { kind, code, param, message, .. } = self;
        json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// Parameters of the library whose name in a request is another one.
const NAMES: [(&str, &str); 18] = [
    ("top p", "top_p"),
    ("top k", "top_k"),
    ("min p", "min_p"),
    ("repetition penalty", "repetition_penalty"),
    ("gen length", "max_tokens"),
    ("prompt ids", "prompt"),
    ("infill ids", "suffix"),
    ("infill", "conjoint.infill"),
    ("chat", "messages"),
    ("unmasker", "conjoint.unmasker"),
    ("schedule", "conjoint.schedule"),
    ("revise", "conjoint.revise"),
    ("order", "conjoint.order"),
    ("order temperature", "conjoint.order_temperature"),
    ("block length", "conjoint.block_length"),
    ("open next block", "conjoint.open_next_block"),
    ("cache", "conjoint.cache"),
    ("cfg scale", "conjoint.cfg_scale"),
];

/// The name of a parameter in a request.
fn api_name(name: &str) -> String {
    let other = NAMES.iter().find(|(own, _)| *own == name);
    other.map_or_else(|| name.replace(' ', "_"), |(_, api)| (*api).to_owned())
}

/// Replaces the parameters that a message quotes.
fn in_api_names(message: &str) -> String {
    NAMES.iter().fold(message.to_owned(), |message, (own, api)| {
        message.replace(&format!("`{own}`"), &format!("`{api}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_of_the_api() {
        let error = Error::parameter("gen length", 50, "the model has room for 40");
        let body = ApiError::of(&error).body();
        assert_eq!(body["error"]["param"], "max_tokens");
        assert_eq!(
            body["error"]["message"],
            "invalid value `50` for `max_tokens`: the model has room for 40"
        );
        assert_eq!(body["error"]["type"], "invalid_request_error");
        let response = ApiError::full(3, 7).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
