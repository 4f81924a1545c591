//! Requests to the server, repeated while it cannot be reached.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use crate::error::RemoteError;
use crate::options::RemoteOptions;
use crate::protocol::{Encoded, JSON_LENGTH};

/// The first pause before a request is repeated; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most bytes of an answer: more than any batch has.
const MOST_BYTES: u64 = 1 << 36;

/// A client of one server.
pub struct Client {
    agent: Agent,
    patience: Duration,
}

/// A body, and the length of its JSON if bytes follow.
pub struct Received {
    pub body: Vec<u8>,
    pub json: Option<usize>,
}

impl Client {
    /// A client with these times.
    pub fn new(options: &RemoteOptions) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(options.timeout))
            .build();
        Self { agent: Agent::new_with_config(config), patience: options.patience }
    }

    /// Gets an address.
    ///
    /// # Errors
    /// [`RemoteError::Unreachable`] or [`RemoteError::Rejected`].
    pub fn get(&self, url: &str) -> Result<Received, RemoteError> {
        self.repeat(url, || self.agent.get(url).call())
    }

    /// Posts a request.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn post(&self, url: &str, request: &Encoded) -> Result<Received, RemoteError> {
        self.repeat(url, || {
            let post = self.agent.post(url);
            let post = match request.json {
                None => post.header("Content-Type", "application/json"),
                Some(length) => {
                    let post = post.header("Content-Type", "application/octet-stream");
                    post.header(JSON_LENGTH, length.to_string())
                }
            };
            post.send(&request.body)
        })
    }

    fn repeat(
        &self,
        url: &str,
        send: impl Fn() -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Received, RemoteError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match send().and_then(received) {
                Ok((status, received)) if status.is_success() => return Ok(received),
                Ok((status, received)) if is_passing(status) => {
                    format!("status {status}: {}", message(&received.body))
                }
                Ok((status, received)) => {
                    let (url, status) = (url.to_owned(), status.as_u16());
                    let message = message(&received.body);
                    return Err(RemoteError::Rejected { url, status, message });
                }
                Err(error) => error.to_string(),
            };
            if began.elapsed() + pause > self.patience {
                let seconds = began.elapsed().as_secs_f64();
                return Err(RemoteError::Unreachable { url: url.to_owned(), seconds, reason });
            }
            sleep(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

/// Whether a server that answers so may soon answer otherwise.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
}

fn received(mut response: Response<ureq::Body>) -> Result<(StatusCode, Received), ureq::Error> {
    let length =
        response.headers().get(JSON_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec()?;
    Ok((response.status(), Received { body, json: length }))
}

/// The message of an error: `{"error": MESSAGE}`, or the body.
fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let parsed: Option<Value> = serde_json::from_str(&text).ok();
    let given = parsed.as_ref().and_then(|value| value.get("error")?.as_str());
    let text = given.unwrap_or(&text).trim();
    match text.char_indices().nth(500) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
