//! `conjoint train`.

mod base;
mod blame;
mod run;
mod sampler;

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
        Ok(refused) => blame::blame(refused),
        Err(other) => other,
    })
}
