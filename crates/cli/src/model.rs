//! Opens an exported model, after finding or fetching ONNX Runtime.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint::{HeadChoice, available_memory, runtime};
use conjoint_lab::{Error, Model, ModelOptions};

use crate::flag::PLAIN;
use crate::numbers::integer;
use crate::progress::gigabytes;

/// The model, and how to run it.
#[derive(Args)]
pub struct ModelArguments {
    /// Folder of an exported model, made by `conjoint export`
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Execution provider: cpu, cuda or tensorrt
    #[arg(long, default_value = "cpu", value_parser = provider)]
    pub provider: ExecutionProvider,
    /// Output layer: dense, condensed (the top-K head, if the export has one; also written top-k), or auto (condensed on a GPU,
    /// otherwise dense)
    #[arg(long, default_value = "auto", value_parser = head)]
    pub head: HeadChoice,
    /// Threads of the CPU provider [default: the cores that the process may use, within its affinity and the quota of its
    /// control group; `conjoint train sampler` trains with 1 per worker]
    #[arg(long, value_name = "N", value_parser = integer(1..=1024_u16))]
    pub threads: Option<u16>,
    /// Run the model even if its estimated memory exceeds the available memory
    #[arg(long)]
    pub ignore_memory: bool,
}

/// Parses an execution provider.
fn provider(text: &str) -> Result<ExecutionProvider, String> {
    text.parse().map_err(|_| "expected cpu, cuda or tensorrt".to_owned())
}

/// Parses an output layer.
fn head(text: &str) -> Result<HeadChoice, String> {
    let name = if text == "top-k" { "condensed" } else { text };
    name.parse().map_err(|_| "expected auto, dense or condensed".to_owned())
}

/// Models that need more bytes than this are announced before they are loaded.
const ANNOUNCED_BYTES: u64 = 300_000_000;

impl ModelArguments {
    /// Opens the model.
    pub fn open(&self) -> Result<Arc<Model>> {
        let Self { model, provider, head, threads, ignore_memory } = self;
        let options = ModelOptions {
            folder: model.clone(),
            provider: *provider,
            head: *head,
            threads: *threads,
            ignore_memory: *ignore_memory,
        };
        let named = |error: Error| PLAIN.error(error);
        options.check().map_err(named)?;
        // Unreadable files are reported when the model is opened.
        if let Some(needed) = options.memory().ok().flatten().filter(|&n| n > ANNOUNCED_BYTES) {
            eprintln!("Loading {}, which {}.", model.display(), needs(needed));
        }
        runtime::ensure()?;
        options.open().map_err(named)
    }
}

/// The memory that a model needs, and the memory available.
pub fn needs(bytes: u64) -> String {
    match available_memory() {
        Some(available) => {
            format!(
                "needs about {} of memory, {} available",
                gigabytes(bytes),
                gigabytes(available)
            )
        }
        None => format!("needs about {} of memory", gigabytes(bytes)),
    }
}
