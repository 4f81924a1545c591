//! What every training run is told, and the numbers that its flags take.

use std::path::PathBuf;

use clap::Args;
use conjoint_train::checkpoint::Precision;
use conjoint_train::options::{OptimizerOptions, RunOptions};

/// The budget, the folder and the rates of a run.
#[derive(Args)]
pub struct RunArguments {
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
    /// The options that these arguments describe, over these defaults.
    pub fn options(&self, default: RunOptions) -> RunOptions {
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

    /// The number format of the weights.
    pub fn precision(&self) -> Precision {
        if self.half { Precision::F16 } else { Precision::F32 }
    }
}

pub fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "a finite number above 0")
}

pub fn weight(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "a finite number of 0 or above")
}

pub fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let fitting = text.parse().ok().filter(|value: &f64| value.is_finite() && fits(*value));
    fitting.ok_or_else(|| format!("expected {expected}"))
}

pub fn count<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    let fitting = text.parse().ok().filter(|value| (LOW..=HIGH).contains(value));
    fitting.ok_or_else(|| format!("expected a whole number from {LOW} to {HIGH}"))
}
