//! The HTTP interface: routes, keys and limits.

mod answer;
mod error;
mod plan;
mod request;
mod run;
mod settings;
mod text;
mod tokenizer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use conjoint::prelude::*;
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::engine::{Engine, NoPlace, Place};
use crate::metrics::{Metrics, RequestLabels};
use crate::page;
use crate::served::Served;
use answer::{Endpoint, Head};
pub use error::ApiError;
use plan::Plan;
use request::{Chat, Completion};

/// The state that all requests share.
pub struct App {
    /// The model.
    pub served: Served,
    /// What runs it.
    pub engine: Engine,
    /// Counts requests and times.
    pub metrics: Arc<Metrics>,
    /// The key that requests must have.
    pub key: Option<String>,
    /// Whether only this machine can reach the server, and no key is needed.
    pub local: bool,
    /// The number of requests so far.
    pub requests: AtomicU64,
}

impl App {
    /// Takes a place for each sequence of a plan.
    fn reserve(&self, plan: &Plan) -> Result<Vec<Place>, ApiError> {
        let places = self.engine.places();
        places.reserve(plan.jobs()).map_err(|reason| match reason {
            NoPlace::Closed => ApiError::stopping(),
            NoPlace::Full => ApiError::full(places.taken(), self.retry_after()),
            // Plans have at most as many sequences as there are places, but scored prompts are further ones.
            NoPlace::TooMany => ApiError::too_many(plan.jobs(), places.most()),
        })
    }

    /// Seconds until the queue may have room: the time of a batch, from the last requests.
    fn retry_after(&self) -> u64 {
        let batch = usize::from(self.served.limits.batch);
        let batches = self.engine.places().taken().div_ceil(batch);
        (self.metrics.mean_request_seconds() * batches as f64).ceil().clamp(1.0, 600.0) as u64
    }

    /// Why the reports of a request ended before its sequences.
    fn gone(&self) -> ApiError {
        match self.engine.places().is_closed() {
            true => ApiError::stopping(),
            false => ApiError::internal("the engine has ended: restart the server"),
        }
    }

    /// The id of the mask.
    fn mask(&self) -> TokenId {
        self.served.model.denoiser.vocabulary().mask()
    }

    /// The number of sequences that wait.
    fn waiting(&self) -> usize {
        let running = usize::try_from(self.metrics.running.get()).unwrap_or_default();
        self.engine.places().taken().saturating_sub(running)
    }

    /// The text of a token.
    fn piece(&self, token: TokenId) -> String {
        self.served.piece(token)
    }
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let limits = &app.served.limits;
    let api = Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/tokenize", post(tokenizer::tokenize))
        .route("/detokenize", post(tokenizer::detokenize))
        .route("/tokenizer_info", get(tokenizer::info))
        .route_layer(middleware::from_fn_with_state(app.clone(), authorized));
    Router::new()
        .merge(api)
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .merge(page::routes())
        .method_not_allowed_fallback(async || {
            ApiError::of_status(
                StatusCode::METHOD_NOT_ALLOWED,
                "the path does not take this method",
            )
        })
        .fallback(async || ApiError::of_status(StatusCode::NOT_FOUND, "there is no such path"))
        .layer(DefaultBodyLimit::max(limits.body))
        .layer(middleware::from_fn_with_state(app.clone(), local))
        .layer(middleware::from_fn_with_state(app.clone(), counted))
        .with_state(app)
}

/// Rejects requests without the server's key.
async fn authorized(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if let Some(key) = &app.key {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.split_at_checked(7));
        let is_bearer = |(scheme, _): &(&[u8], &[u8])| scheme.eq_ignore_ascii_case(b"Bearer ");
        let given = given.filter(is_bearer).map(|(_, key)| key).unwrap_or_default();
        if !bool::from(given.ct_eq(key.as_bytes())) {
            return ApiError::unauthorized().into_response();
        }
    }
    next.run(request).await
}

/// Rejects requests to a server of this machine by another name. A page of another site can give its own name this machine's
/// address (DNS rebinding), and would then be allowed to send requests and read the answers.
async fn local(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    if app.local && !host.is_some_and(is_local) {
        let message = "expected the header `Host` to name this machine, such as localhost or 127.0.0.1; with a key, any name is accepted";
        return ApiError::of_status(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    next.run(request).await
}

/// Whether the value of `Host` names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Counts answers, and logs them.
async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // The path is that of the route: clients cannot add metrics.
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.and_then(|path| PATHS.iter().find(|known| **known == path)).unwrap_or(&"other");
    let method = request.method().clone();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    app.metrics.requests.get_or_create(&RequestLabels { path, status }).inc();
    let milliseconds = began.elapsed().as_millis() as u64;
    tracing::info!(%method, path, status, milliseconds, "answered");
    response
}

/// The paths in the metrics.
const PATHS: [&str; 10] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/models",
    "/v1/models/{*name}",
    "/tokenize",
    "/detokenize",
    "/tokenizer_info",
    "/health",
    "/metrics",
    "/",
];

/// The JSON body of a request.
async fn body(app: &App, request: Request) -> Result<Bytes, ApiError> {
    let is_json = |headers: &HeaderMap| {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        kind.is_some_and(|kind| {
            kind.split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        })
    };
    // A page of another site cannot send this type without asking first.
    if !is_json(request.headers()) {
        let message = "expected the header `Content-Type: application/json`";
        return Err(ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let read = <Bytes as axum::extract::FromRequest<()>>::from_request(request, &());
    match tokio::time::timeout(app.served.limits.read_timeout, read).await {
        Ok(read) => {
            read.map_err(|rejection| ApiError::of_status(rejection.status(), rejection.body_text()))
        }
        Err(_) => {
            let message = "the body did not arrive in time";
            Err(ApiError::of_status(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

async fn completions(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let request = Completion::parse(&body(&app, request).await?)?;
    let plan = blocking(&app, move |served| Plan::completion(served, request)).await?;
    respond(app, Endpoint::Completions, plan, arrived).await
}

async fn chat(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let request = Chat::parse(&body(&app, request).await?)?;
    let plan = blocking(&app, move |served| Plan::chat(served, request)).await?;
    respond(app, Endpoint::Chat, plan, arrived).await
}

/// Works on a thread that may block: long texts take time to encode.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Served) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || work(&app.served)).await;
    done.unwrap_or_else(|_| Err(ApiError::internal("the request could not be read")))
}

async fn respond(
    app: Arc<App>,
    endpoint: Endpoint,
    plan: Plan,
    arrived: Instant,
) -> Result<Response, ApiError> {
    let number = app.requests.fetch_add(1, Ordering::Relaxed);
    let head = Head::new(endpoint, &plan.model, number);
    let metrics = app.metrics.clone();
    let is_stream = plan.form.stream;
    let response = run::answer(app, head, plan, arrived).await?;
    if !is_stream {
        metrics.request_seconds(arrived.elapsed());
    }
    Ok(response)
}

/// A model in the list of models.
fn listed(name: &str) -> serde_json::Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "conjoint"})
}

async fn models(State(app): State<Arc<App>>) -> Response {
    let names = app.served.names();
    let data: Vec<_> = names.iter().map(|name| listed(name)).collect();
    axum::Json(json!({"object": "list", "data": data})).into_response()
}

async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|rejection| ApiError::param("model", rejection.body_text()))?;
    match app.served.line(&name) {
        Some(_) => Ok(axum::Json(listed(&name)).into_response()),
        None => Err(ApiError::no_model(&name, &app.served.names())),
    }
}

/// 200 while the server takes requests.
async fn health(State(app): State<Arc<App>>) -> Response {
    let status = match (app.engine.is_alive(), app.engine.places().is_closed()) {
        (true, false) => (StatusCode::OK, "ok"),
        (true, true) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "the engine has ended"),
    };
    let body = json!({"status": status.1, "waiting": app.waiting()});
    (status.0, axum::Json(body)).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.metrics.waiting.set(app.waiting() as i64);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], Body::from(app.metrics.text())).into_response()
}
