//! The `conjoint` command: arguments, files and progress around the libraries.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod corpus;
mod eval;
mod export;
mod flag;
mod generate;
mod info;
mod model;
mod progress;
mod strategy;
#[cfg(feature = "train")]
mod train;

/// Sample several tokens per forward from a masked diffusion language model's joint distribution.
#[derive(Parser)]
#[command(name = "conjoint", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write ONNX graphs beside a checkpoint's own weights
    Export(export::Arguments),
    /// Generate text or token ids with an exported model
    Generate(generate::Arguments),
    /// Train a small base model, or the sampler layer of a model
    #[cfg(feature = "train")]
    #[command(subcommand)]
    Train(train::Train),
    /// Measure what share of a model's texts pass the corpus' own checks, strategy by strategy
    Eval(eval::Arguments),
    /// Print texts of the training corpus
    Corpus(corpus::Arguments),
    /// Describe an exported model
    Info(info::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Export(arguments) => export::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        #[cfg(feature = "train")]
        Command::Train(train) => train::run(&train),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Corpus(arguments) => corpus::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<flag::BadFlag>() { 2 } else { 1 })
        }
    }
}
