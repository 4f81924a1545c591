//! `conjoint train`.

mod base;
mod run;
mod sampler;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Train {
    Base(base::BaseArguments),
    Sampler(sampler::SamplerArguments),
}

pub fn run(train: &Train) -> Result<()> {
    match train {
        Train::Base(arguments) => base::run(arguments),
        Train::Sampler(arguments) => sampler::run(arguments),
    }
}
