//! The arguments of every training run: budget, folder and rates.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueEnum};
use conjoint_train::model::Precision;
use conjoint_train::run::{Decay, DeviceKind, Method};
use conjoint_train::{OptimizerOptions, RunOptions, RunSummary};

use crate::flag::InvalidArgument;
use crate::numbers::{below_one, count, integer, non_negative, positive};

/// The budget, the folder and the rates of a run.
#[derive(Args)]
#[command(group = ArgGroup::new("budget").required(true).multiple(true).args(["minutes", "steps"]))]
pub struct RunArguments {
    /// Folder of the run, for its result, log, loss curve and checkpoints. A run found there is resumed
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Start from the weights in this file [default: random weights]. A base model's model.safetensors (with its config.json and
    /// tokenizer.json beside it), or a sampler layer's file
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Stop after M minutes of training. Requires --minutes, --steps or both
    #[arg(long, value_name = "M", value_parser = positive)]
    minutes: Option<f64>,
    /// Stop after N steps
    #[arg(long, value_name = "N", value_parser = integer(1..=u64::MAX))]
    steps: Option<u64>,
    /// Rows per step [default: 32]
    #[arg(long, value_name = "N", value_parser = count::<1, 65536>)]
    batch: Option<usize>,
    /// Rows per backward pass, to save memory: the gradients of several passes are added up [default: a thread's whole part of
    /// the batch]
    #[arg(long, value_name = "N", value_parser = count::<1, 65536>)]
    micro_batch: Option<usize>,
    /// Device that computes gradients. Every device of the kind gets a part of the batch; with --workers 1 only the first one
    /// is used
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// Number of threads [default: one per core, or one per GPU]
    #[arg(long, value_name = "N", value_parser = count::<1, 1024>)]
    workers: Option<usize>,
    /// Optimizer of the matrices; AdamW updates everything else [default: muon for a base model, adamw for a sampler layer]
    #[arg(long, value_name = "RULE")]
    optimizer: Option<Rule>,
    /// Peak learning rate of Muon [default: 0.003]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    muon: Option<f64>,
    /// Peak learning rate of AdamW [default: 0.003 for a base model, 5e-5 for a sampler layer]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    adamw: Option<f64>,
    /// β₂ of AdamW [default: 0.98 for a base model, 0.999 for a sampler layer]
    #[arg(long, value_name = "B", value_parser = below_one)]
    beta2: Option<f64>,
    /// Decoupled weight decay of the matrices [default: 0]
    #[arg(long, value_name = "W", value_parser = non_negative)]
    weight_decay: Option<f64>,
    /// Largest norm of the gradients; larger gradients are scaled down [default: 1]
    #[arg(long, value_name = "NORM", value_parser = positive)]
    clip: Option<f64>,
    /// Steps over which the learning rates rise [default: 100 for a base model, 250 for a sampler layer]
    #[arg(long, value_name = "N", value_parser = integer(0..=u64::MAX))]
    warmup: Option<u64>,
    /// Course of the learning rates after --warmup [default: linear for a base model, constant for a sampler layer]
    #[arg(long, value_name = "COURSE")]
    rates: Option<Rates>,
    /// Decay of the averaged weights, which become the model: 0.999 averages over about the last 1000 steps
    /// [default: 0.999]
    #[arg(long, value_name = "D", value_parser = below_one)]
    average_decay: Option<f64>,
    /// Minutes between checkpoints [default: 5]
    #[arg(long, value_name = "M", value_parser = positive)]
    checkpoint_minutes: Option<f64>,
    /// Steps between checkpoints, in addition to those by time [default: none]
    #[arg(long, value_name = "N", value_parser = integer(1..=u64::MAX))]
    checkpoint_steps: Option<u64>,
    /// Stop after N checkpoints in a row that are not better than the best one, and keep the best [default: never]
    #[arg(long, value_name = "N", value_parser = integer(1..=u32::MAX))]
    patience: Option<u32>,
    /// Seed of the weights, the texts and the masks; with a sampler layer, also of the trajectories that are sampled first
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = integer(0..=u64::MAX))]
    seed: u64,
    /// Write the weights as 16-bit floats
    #[arg(long)]
    half: bool,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    /// The processor
    Cpu,
    /// NVIDIA GPUs, in a build with --features train-cuda (untested)
    Cuda,
    /// GPUs through Vulkan, Metal or DirectX 12, in a build with --features train-wgpu (untested)
    Wgpu,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rule {
    /// Muon for the matrices inside the layers
    Muon,
    /// AdamW for everything
    #[value(name = "adamw")]
    AdamW,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rates {
    /// Fall linearly to zero at the end of the budget
    Linear,
    /// Stay constant
    Constant,
}

impl RunArguments {
    pub fn options(&self, default: RunOptions) -> Result<RunOptions> {
        let optimizer = self.rates(default.optimizer);
        if let (Some(rate), Method::AdamW) = (self.muon, optimizer.method) {
            let reason = "AdamW updates all of this run's parameters: give --optimizer muon";
            return Err(InvalidArgument::unused("--muon", rate, reason).into());
        }
        let device = match self.device {
            Device::Cpu => DeviceKind::Cpu,
            Device::Cuda => DeviceKind::Cuda,
            Device::Wgpu => DeviceKind::Wgpu,
        };
        let workers = match (self.workers, device) {
            (Some(workers), _) => workers,
            (None, DeviceKind::Cpu) => default.workers,
            (None, gpus) => gpus.count()?,
        };
        Ok(RunOptions {
            device,
            dir: self.dir.clone(),
            init: self.init.clone(),
            max_steps: self.steps,
            max_minutes: self.minutes,
            batch: self.batch.unwrap_or(default.batch),
            workers,
            micro_batch: self.micro_batch.or(default.micro_batch),
            average_decay: self.average_decay.unwrap_or(default.average_decay),
            checkpoint_minutes: self.checkpoint_minutes.unwrap_or(default.checkpoint_minutes),
            checkpoint_steps: self.checkpoint_steps.or(default.checkpoint_steps),
            patience: self.patience.or(default.patience),
            seed: self.seed,
            optimizer,
            progress: !self.quiet,
            ..default
        })
    }

    fn rates(&self, default: OptimizerOptions) -> OptimizerOptions {
        OptimizerOptions {
            method: self.optimizer.map_or(default.method, |rule| match rule {
                Rule::Muon => Method::Muon,
                Rule::AdamW => Method::AdamW,
            }),
            muon_rate: self.muon.unwrap_or(default.muon_rate),
            adamw_rate: self.adamw.unwrap_or(default.adamw_rate),
            beta_2: self.beta2.unwrap_or(default.beta_2),
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
            clip: self.clip.unwrap_or(default.clip),
            warmup_steps: self.warmup.unwrap_or(default.warmup_steps),
            decay: self.rates.map_or(default.decay, |rates| match rates {
                Rates::Linear => Decay::Linear,
                Rates::Constant => Decay::Constant,
            }),
        }
    }

    pub fn precision(&self) -> Precision {
        if self.half { Precision::F16 } else { Precision::F32 }
    }
}

pub fn report(summary: &RunSummary) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let minutes = summary.seconds / 60.0;
    writeln!(out, "{} steps, {} tokens, {minutes:.1} min", summary.steps, summary.tokens)?;
    writeln!(out, "training loss {:.4}", summary.loss)?;
    for (name, value) in &summary.validation {
        writeln!(out, "{name}: {value:.4}")?;
    }
    Ok(())
}
