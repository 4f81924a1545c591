//! Opening an exported model, with ONNX Runtime found or fetched first.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint::{HeadChoice, runtime};
use conjoint_lab::{Error, Model, ModelOptions};

use crate::flag::PLAIN;

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
}

impl ModelArguments {
    /// Opens the model.
    pub fn open(&self) -> Result<Arc<Model>> {
        let Self { model, provider, head, threads } = self;
        let options = ModelOptions {
            folder: model.clone(),
            provider: *provider,
            head: *head,
            threads: *threads,
        };
        let named = |error: Error| PLAIN.name(error);
        options.check().map_err(named)?;
        runtime::ensure()?;
        options.open().map_err(named)
    }
}
