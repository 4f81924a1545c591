//! Opening an exported model, with ONNX Runtime found or fetched first.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint::{HeadChoice, available_memory, runtime};
use conjoint_lab::{Error, Model, ModelOptions};

use crate::flag::PLAIN;
use crate::progress::gigabytes;

/// Which model, and what it runs on.
#[derive(Args)]
pub struct ModelArguments {
    /// Folder of an exported model (see `conjoint export`)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// What runs the model: cpu, cuda or tensorrt
    #[arg(long, default_value = "cpu")]
    pub provider: ExecutionProvider,
    /// Output layer: dense, condensed (needs an export with one), or auto: condensed on a device
    #[arg(long, default_value = "auto")]
    pub head: HeadChoice,
    /// Threads of the CPU provider [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Load and run the model even if that takes more memory than is available, by an estimate
    #[arg(long)]
    pub ignore_memory: bool,
}

/// A model that takes this many bytes of memory is worth a word before it is loaded.
const WORTH_SAYING: u64 = 300_000_000;

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
        let named = |error: Error| PLAIN.name(error);
        options.check().map_err(named)?;
        // What cannot be read is reported when it is opened.
        if let Some(needed) = options.memory().ok().flatten().filter(|&n| n > WORTH_SAYING) {
            eprintln!("Loading {}, which {}.", model.display(), needs(needed));
        }
        runtime::ensure()?;
        options.open().map_err(named)
    }
}

/// How much memory a model needs, and how much there is.
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
