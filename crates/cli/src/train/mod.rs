//! `conjoint train`.

use std::io::Write;

use anyhow::Result;
use clap::Subcommand;
use conjoint_train::trainer::Summary;

mod base;
mod budget;
mod sampler;

#[derive(Subcommand)]
pub enum Train {
    Base(base::Arguments),
    Sampler(sampler::Arguments),
}

pub fn run(train: &Train) -> Result<()> {
    match train {
        Train::Base(arguments) => base::run(arguments),
        Train::Sampler(arguments) => sampler::run(arguments),
    }
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
