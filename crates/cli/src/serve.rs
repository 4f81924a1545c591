use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use conjoint_lab::registry::Line;
use conjoint_serve::{Limits, ServeError, Server};
use tracing_subscriber::EnvFilter;

use crate::flag::InvalidArgument;
use crate::interrupt;
use crate::model::ModelArguments;
use crate::names;
use crate::numbers::integer;

/// Serve an exported model over HTTP, in the forms of OpenAI's API
///
/// Clients generate with POST /v1/completions and /v1/chat/completions, whole or as a stream. GET / is a page that shows a text
/// while it is unmasked, GET /metrics has metrics for Prometheus, GET /health the state. Requests run together: each joins and leaves
/// the batch between denoising steps.
///
/// A model with a sampler layer is served under its name and under NAME:quality, NAME:balanced and NAME:fast. Other strategies are
/// parameters of a request: {"conjoint": {"unmasker": "marginal", "schedule": "per-step:4"}}. Unknown parameters are errors.
///
/// Ctrl-C or SIGTERM stops the server: sequences that run have --grace seconds to finish.
#[derive(Args)]
#[command(after_help = "Examples:
  conjoint serve --model models/tiny
  curl localhost:8000/v1/completions -H 'Content-Type: application/json' \\
      -d '{\"model\": \"tiny:balanced\", \"prompt\": \"<story>the old\", \"max_tokens\": 34}'

docs/serving.md has all parameters of requests.")]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Name of the model in requests [default: the name of its folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address to listen on. 0.0.0.0 is every network interface: give --api-key with it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Network")]
    host: IpAddr,
    /// Port to listen on; 0 is any free port
    #[arg(long, default_value_t = 8000, help_heading = "Network")]
    port: u16,
    /// Key that requests to /v1 and to the tokenizer must have, as `Authorization: Bearer KEY`
    #[arg(
        long,
        env = "CONJOINT_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Network"
    )]
    api_key: Option<String>,
    /// Strategy of requests that name none: a preset, UNMASKER or UNMASKER+SCHEDULE, as in `conjoint compare --strategies`
    #[arg(long, value_name = "LINE", default_value = "exact", value_parser = names::line, help_heading = "Strategy")]
    strategy: Line,
    /// Largest number of sequences that run at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = integer(1..=4096_u16), help_heading = "Limits")]
    batch_size: u16,
    /// Largest number of sequences that wait while the batch is full. Further requests get status 429
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = integer(1..=1_000_000_u32), help_heading = "Limits")]
    queue: u32,
    /// Largest number of positions of a sequence, beside the model's own limit
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = integer(1..=1_048_576_u32), help_heading = "Limits")]
    max_length: u32,
    /// Largest body of a request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4, value_parser = integer(1..=1024_u32), help_heading = "Limits")]
    max_body: u32,
    /// Largest number of open connections
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = integer(1..=65_536_u32), help_heading = "Limits")]
    max_connections: u32,
    /// Seconds after which a request is ended; its answer has what is final
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = integer(1..=86_400_u32), help_heading = "Limits")]
    timeout: u32,
    /// Seconds that running sequences have to finish when the server stops
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = integer(0..=3600_u32), help_heading = "Limits")]
    grace: u32,
    /// Log lines as JSON
    #[arg(long, help_heading = "Log")]
    log_json: bool,
    /// What is logged, as for RUST_LOG: error, warn, info, debug, or a list such as info,conjoint_serve=debug
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Log"
    )]
    log: String,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    // RUST_LOG may be set and empty.
    let filter = if arguments.log.is_empty() { "info" } else { &arguments.log };
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| InvalidArgument::new("--log", &arguments.log, error))?;
    let name = name(arguments)?;
    if arguments.api_key.as_deref().is_some_and(str::is_empty) {
        return Err(InvalidArgument::new(
            "--api-key",
            "",
            "expected a key of at least one character",
        )
        .into());
    }
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let log = log.with_writer(std::io::stderr);
    match arguments.log_json {
        true => log.json().init(),
        false => log.init(),
    }
    let model = arguments.model.open()?;
    let mut limits = Limits::default();
    limits.batch = arguments.batch_size;
    limits.queue = arguments.queue as usize;
    limits.length = arguments.max_length as usize;
    limits.body = (arguments.max_body as usize) << 20;
    limits.connections = arguments.max_connections as usize;
    limits.timeout = Some(Duration::from_secs(arguments.timeout.into()));
    limits.grace = Duration::from_secs(arguments.grace.into());
    let mut server =
        Server::new(model, name).default_line(arguments.strategy.clone()).limits(limits);
    if let Some(key) = &arguments.api_key {
        server = server.key(key);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the threads of the server")?;
    let served = runtime.block_on(async {
        let bound = server.bind(SocketAddr::new(arguments.host, arguments.port)).await;
        let bound = bound.map_err(|error| match error {
            // The model is open, so it is the default strategy that does not fit it.
            ServeError::Model(error) => {
                let line = arguments.strategy.name();
                anyhow::Error::from(InvalidArgument::new("--strategy", line, error))
            }
            error => error.into(),
        })?;
        let address = bound.address();
        if !address.ip().is_loopback() && arguments.api_key.is_none() {
            tracing::warn!(
                "everyone who reaches {address} can use this server: consider --api-key"
            );
        }
        // On standard output, so that a program can read a port that it left open.
        println!("http://{address}");
        tracing::info!(models = bound.names().join(", "), "listening on http://{address}");
        bound.run(stopped()).await;
        tracing::info!("stopped");
        Ok(())
    });
    // A thread that still encodes a text is not waited for.
    runtime.shutdown_background();
    served
}

/// The name of the model: that of its folder, if no other is given.
fn name(arguments: &Arguments) -> Result<String> {
    let of_folder = |folder: &Path| {
        let folder = folder.canonicalize().ok()?;
        Some(folder.file_name()?.to_string_lossy().into_owned())
    };
    let name = arguments.name.clone().or_else(|| of_folder(&arguments.model.model));
    let name = name.unwrap_or_else(|| "model".to_owned());
    match name.is_empty() || name.contains(|c: char| c == ':' || c == '/' || c.is_control()) {
        true => {
            Err(InvalidArgument::new("--name", name, "expected a name without `:` and `/`").into())
        }
        false => Ok(name),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = ctrl_c => {}
        () = terminate => {}
    }
    tracing::info!("stopping: running sequences may finish; Ctrl-C again ends them");
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(interrupt::EXIT_CODE));
        }
    });
}
