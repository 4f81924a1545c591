//! `conjoint train`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use conjoint::export::{Manifest, WeightFile};
use conjoint::prelude::*;
use conjoint_corpus::Domain;
use conjoint_train::base::{BaseOptions, train_base};
use conjoint_train::checkpoint::Precision;
use conjoint_train::distill::HiddenWeights;
use conjoint_train::distillation::{SamplerOptions, train_sampler};
use conjoint_train::onnx_teacher::OnnxTeacher;
use conjoint_train::options::{OptimizerOptions, RunOptions};
use conjoint_train::rollout::{RolloutOptions, rollout};
use conjoint_train::trainer::Summary;

use crate::flag::BadFlag;
use crate::model::ModelArguments;

#[derive(Subcommand)]
pub enum Train {
    Base(BaseArguments),
    Sampler(SamplerArguments),
}

/// The budget, the folder and the rates of a run.
#[derive(Args)]
struct RunArguments {
    /// The run's folder: the result, the log, the loss curve and checkpoints. A run found there goes on
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Stop after this many minutes of training
    #[arg(long, value_name = "M", required_unless_present = "steps", value_parser = positive)]
    minutes: Option<f64>,
    /// Stop after this many steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Rows in a step
    #[arg(long, value_name = "N", value_parser = count::<1, 65536>)]
    batch: Option<usize>,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    workers: Option<usize>,
    /// Peak learning rate of Muon, for the matrices
    #[arg(long, value_name = "RATE", value_parser = positive)]
    muon: Option<f64>,
    /// Peak learning rate of AdamW, for everything else
    #[arg(long, value_name = "RATE", value_parser = positive)]
    adamw: Option<f64>,
    /// Steps over which the learning rates rise
    #[arg(long, value_name = "N")]
    warmup: Option<u64>,
    /// Minutes between checkpoints
    #[arg(long, value_name = "M", value_parser = positive)]
    checkpoint_minutes: Option<f64>,
    /// Seed of the weights, the texts and the masks
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Write the weights as 16-bit floats
    #[arg(long)]
    half: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

impl RunArguments {
    fn options(&self, default: RunOptions) -> RunOptions {
        let rates = default.optimizer;
        RunOptions {
            dir: self.dir.clone(),
            max_steps: self.steps,
            max_minutes: self.minutes,
            batch: self.batch.unwrap_or(default.batch),
            workers: self.workers.unwrap_or(default.workers),
            checkpoint_minutes: self.checkpoint_minutes.unwrap_or(default.checkpoint_minutes),
            seed: self.seed,
            optimizer: OptimizerOptions {
                muon_rate: self.muon.unwrap_or(rates.muon_rate),
                adamw_rate: self.adamw.unwrap_or(rates.adamw_rate),
                warmup_steps: self.warmup.unwrap_or(rates.warmup_steps),
                ..rates
            },
            progress: !self.quiet,
            ..default
        }
    }

    fn precision(&self) -> Precision {
        if self.half { Precision::F16 } else { Precision::F32 }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "a finite number above 0")
}

fn weight(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "a finite number of 0 or above")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let fitting = text.parse().ok().filter(|value: &f64| value.is_finite() && fits(*value));
    fitting.ok_or_else(|| format!("expected {expected}"))
}

fn count<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    let fitting = text.parse().ok().filter(|value| (LOW..=HIGH).contains(value));
    fitting.ok_or_else(|| format!("expected a whole number from {LOW} to {HIGH}"))
}

/// Train a small masked diffusion model on the corpus
///
/// Writes a Dream checkpoint (config.json, model.safetensors, tokenizer.json) that `conjoint export` reads.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct BaseArguments {
    #[command(flatten)]
    run: RunArguments,
    /// D, the width of the hidden states
    #[arg(long, value_name = "D", value_parser = count::<2, 65536>)]
    hidden: Option<usize>,
    /// Decoder layers
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    layers: Option<usize>,
    /// F, the inner width of the feed-forward blocks
    #[arg(long, value_name = "F", value_parser = count::<1, 262144>)]
    ffn: Option<usize>,
    /// Query heads
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    heads: Option<usize>,
    /// Key and value heads
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    kv_heads: Option<usize>,
    /// θ of the rotary embedding; short texts want a small one
    #[arg(long, value_name = "THETA", value_parser = positive)]
    rope_theta: Option<f64>,
    /// The first share of the run, in which rows are lightly masked
    #[arg(long, value_name = "SHARE", value_parser = share)]
    early_share: Option<f64>,
    /// At most this share of a row is masked early in the run
    #[arg(long, value_name = "SHARE", value_parser = share)]
    early_limit: Option<f64>,
}

/// Train the sampler layer of an exported model
///
/// First samples trajectories of the frozen model, one token at a time (kept in DIR/trajectories), then
/// trains the layer along them (arXiv 2509.22738). Both go on where an interrupted run stopped. Writes
/// model.safetensors with the published tensor names, for `conjoint export --sampler DIR`.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct SamplerArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    run: RunArguments,
    /// Trajectories to train on, of which 64 are held out
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = count::<65, 100000000>)]
    trajectories: usize,
    /// Length of a trajectory [default: the model's longest]
    #[arg(long, value_name = "T", value_parser = count::<3, 65536>)]
    length: Option<usize>,
    /// Prompts of the trajectories, taken in turn; may be given several times [default: the corpus' tags]
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// J: sampler passes unrolled in training; K tokens per step want at least K − 1
    #[arg(long, value_name = "J", default_value_t = 4, value_parser = count::<1, 64>)]
    depth: usize,
    /// Compare at one random depth a step instead of at all
    #[arg(long)]
    one_depth: bool,
    /// λ₁: weight of smoothL1(hʲ, h_base(xʲ))
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = weight)]
    lambda_teacher: f64,
    /// λ₂: weight of smoothL1(hʲ, h⁰)
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = weight)]
    lambda_start: f64,
}

pub fn run(train: &Train) -> Result<()> {
    match train {
        Train::Base(arguments) => base(arguments),
        Train::Sampler(arguments) => sampler(arguments),
    }
}

fn base(arguments: &BaseArguments) -> Result<()> {
    let default = BaseOptions::default();
    let options = BaseOptions {
        hidden_size: arguments.hidden.unwrap_or(default.hidden_size),
        layers: arguments.layers.unwrap_or(default.layers),
        intermediate_size: arguments.ffn.unwrap_or(default.intermediate_size),
        heads: arguments.heads.unwrap_or(default.heads),
        kv_heads: arguments.kv_heads.unwrap_or(default.kv_heads),
        rope_theta: arguments.rope_theta.unwrap_or(default.rope_theta),
        early_share: arguments.early_share.unwrap_or(default.early_share),
        early_limit: arguments.early_limit.unwrap_or(default.early_limit),
        precision: arguments.run.precision(),
        run: arguments.run.options(default.run),
        ..default
    };
    report(&train_base(&options)?)
}

fn sampler(arguments: &SamplerArguments) -> Result<()> {
    let default = SamplerOptions::default();
    let run = arguments.run.options(default.run);
    if run.dir.join("conjoint.json").exists() {
        let reason = "the folder holds an exported model, which training would overwrite";
        return Err(BadFlag::new("--dir", run.dir.display(), reason).into());
    }
    let model = arguments.model.open()?;
    let longest = model.denoiser.max_length();
    let prompts = if arguments.prompt.is_empty() {
        Domain::ALL.iter().map(|domain| domain.tag().to_owned()).collect()
    } else {
        arguments.prompt.clone()
    };
    let denoiser: Arc<dyn Denoiser> = model.denoiser.clone();
    let trajectories = rollout(
        &denoiser,
        &RolloutOptions {
            dir: run.dir.join("trajectories"),
            count: arguments.trajectories,
            length: arguments.length.or(longest).context("give --length")?,
            prompts: prompts
                .iter()
                .map(|prompt| model.encode("--prompt", prompt))
                .collect::<Result<_, _>>()?,
            model: fingerprint(model.denoiser.manifest()),
            seed: run.seed,
            batch: 32,
            progress: run.progress,
        },
    )?;
    let teacher = OnnxTeacher::open(&arguments.model.model, run.workers)?;
    let options = SamplerOptions {
        base: arguments.model.model.clone(),
        depth_weights: vec![1.0; arguments.depth],
        one_depth: arguments.one_depth,
        lambda: HiddenWeights { teacher: arguments.lambda_teacher, start: arguments.lambda_start },
        precision: arguments.run.precision(),
        run,
        ..default
    };
    report(&train_sampler(&options, &teacher, &trajectories)?)
}

/// What tells a model's weights from others: the files that its graphs point into, but for the sampler
/// layer's, which takes no part in the frozen model's trajectories.
fn fingerprint(manifest: &Manifest) -> String {
    let files = manifest.provenance.weights.iter();
    let frozen = files.filter(|file| !file.name.starts_with("sampler"));
    let line = |file: &WeightFile| format!("{} {} {}", file.name, file.bytes, file.sha256);
    frozen.map(line).collect::<Vec<_>>().join(", ")
}

fn report(summary: &Summary) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let minutes = summary.seconds / 60.0;
    writeln!(out, "{} steps, {} tokens, {minutes:.1} min", summary.steps, summary.tokens)?;
    writeln!(out, "training loss {:.4}", summary.loss)?;
    for (name, value) in &summary.validation {
        writeln!(out, "{name}: {value:.4}")?;
    }
    Ok(())
}
