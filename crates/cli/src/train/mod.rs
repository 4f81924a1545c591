//! `conjoint train`.

mod base;
mod run;
mod sampler;
mod texts;
mod with_flag;

use anyhow::Result;
use clap::Subcommand;
use conjoint_train::TrainError;

#[derive(Subcommand)]
pub enum Train {
    Base(base::BaseArguments),
    Sampler(sampler::SamplerArguments),
}

pub fn run(train: &Train) -> Result<()> {
    let trained = match train {
        Train::Base(arguments) => base::run(arguments),
        Train::Sampler(arguments) => sampler::run(arguments),
    };
    trained.map_err(|error| match error.downcast::<TrainError>() {
        Ok(error) => with_flag::with_flag(error),
        Err(error) => error,
    })
}
