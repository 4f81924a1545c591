//! Serves a masked diffusion language model over HTTP, in the forms of OpenAI's API.
//!
//! ```no_run
//! use conjoint_lab::Model;
//! use conjoint_serve::Server;
//!
//! # async fn example() -> Result<(), conjoint_serve::ServeError> {
//! conjoint::runtime::ensure().expect("ONNX Runtime"); // finds ONNX Runtime, or fetches it
//! let model = Model::open("models/tiny")?;
//! let server = Server::new(model, "tiny").bind("127.0.0.1:8000").await?;
//! println!("http://{}", server.address());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! | path | what it does |
//! |---|---|
//! | `/v1/completions`, `/v1/chat/completions` | generate, whole or as a stream of server-sent events |
//! | `/v1/models` | the names of the model: its own, and one for each preset |
//! | `/health`, `/metrics` | the state, and metrics in the text format of Prometheus |
//! | `/` | a page that shows a text while it is unmasked |
//!
//! Sequences of all requests share forwards: they join and leave between denoising steps (continuous batching). Each draws from
//! its own random stream. `docs/serving.md` has the parameters of requests, and how to run a server.

mod api;
mod engine;
mod listen;
mod metrics;
mod options;
mod page;
mod served;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use conjoint_lab::registry::Line;
use conjoint_lab::{Error, Model, Registry};
use tokio::net::{TcpListener, ToSocketAddrs};

use api::App;
use engine::Engine;
use metrics::Metrics;
pub use options::Limits;
use served::Served;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The model, its sampler layer or the default strategy cannot be used.
    #[error(transparent)]
    Model(#[from] Error),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// A server that has not begun.
#[derive(Clone)]
pub struct Server {
    model: Arc<Model>,
    name: String,
    default: Option<Line>,
    key: Option<String>,
    limits: Limits,
}

/// A server that listens.
pub struct Bound {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// A server of a model under a name.
    pub fn new(model: Arc<Model>, name: impl Into<String>) -> Self {
        Self { model, name: name.into(), default: None, key: None, limits: Limits::default() }
    }

    /// Sets the strategy of requests that name none. By default exact sampling, one token per forward.
    pub fn default_line(mut self, line: Line) -> Self {
        self.default = Some(line);
        self
    }

    /// Sets the key that requests to `/v1` must have, as `Authorization: Bearer KEY`. By default there is none.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Begins to listen. Port 0 is any free port.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(self, address: impl ToSocketAddrs + ToString) -> Result<Bound, ServeError> {
        let Self { model, name, default, key, limits } = self;
        let default = default.map_or_else(|| Registry::builtin().line("exact"), Ok)?;
        let (batch, queue) = (usize::from(limits.batch), limits.queue);
        let served = Served::new(model, name, default, limits)?;
        let written = address.to_string();
        let failed = |source| ServeError::Bind { address: written.clone(), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let metrics = Arc::new(Metrics::new());
        let engine = Engine::start(batch, queue, metrics.clone());
        let local = key.is_none() && address.ip().is_loopback();
        let requests = AtomicU64::new(0);
        let app = App { served, engine, metrics, key, local, requests };
        Ok(Bound { app: Arc::new(app), listener, address })
    }
}

impl Bound {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names of the model.
    pub fn names(&self) -> Vec<String> {
        self.app.served.names()
    }

    /// Serves until `stop` is done. Then rejects new requests, lets running sequences finish within the
    /// [grace](Limits::grace), answers the others with what they have, and returns.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self { app, listener, .. } = self;
        let limits = app.served.limits.clone();
        let router = api::router(app.clone());
        let stopping = async {
            stop.await;
            app.engine.stop(limits.grace);
        };
        let ended = app.clone();
        // The thread of the engine ends once its last sequence has.
        let ended = async move {
            let joined = tokio::task::spawn_blocking(move || ended.engine.join());
            let _ = joined.await;
        };
        listen::serve(listener, router, &limits, stopping, ended).await;
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
