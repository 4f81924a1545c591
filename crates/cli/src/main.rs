//! The `conjoint` command: arguments, files and progress bars around the libraries.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod compare;
mod comparison;
mod corpus;
mod eval;
mod export;
mod files;
mod filters;
mod flag;
mod generate;
mod info;
mod interrupt;
mod model;
mod names;
mod numbers;
mod progress;
mod prompt;
mod requests;
mod sampling;
#[cfg(feature = "serve")]
mod serve;
mod strategies;
#[cfg(feature = "train")]
mod train;
mod trajectories;
mod visible;

/// Training allocates and frees many large tensors. The system's allocator returns each to the kernel, which has to clear
/// the pages again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sample several tokens per forward from a masked diffusion language model's joint distribution.
#[derive(Parser)]
#[command(name = "conjoint", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Export(export::Arguments),
    Generate(Box<generate::Arguments>),
    #[cfg(feature = "serve")]
    Serve(Box<serve::Arguments>),
    Trajectories(trajectories::Arguments),
    /// Train a small base model, or the sampler layer of a model
    #[cfg(feature = "train")]
    #[command(subcommand)]
    Train(train::Train),
    Eval(eval::Arguments),
    Compare(compare::Arguments),
    Bench(bench::Arguments),
    Strategies(strategies::Arguments),
    Corpus(corpus::Arguments),
    Info(info::Arguments),
}

fn main() -> ExitCode {
    let arguments = Cli::try_parse().unwrap_or_else(|error| flag::exit(&error));
    let result = match arguments.command {
        Command::Export(arguments) => export::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Trajectories(arguments) => trajectories::run(&arguments),
        #[cfg(feature = "train")]
        Command::Train(train) => train::run(&train),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Strategies(arguments) => strategies::run(&arguments),
        Command::Corpus(arguments) => corpus::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed the pipe.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", flag::PLAIN.text(&message(&error)));
            ExitCode::from(flag::exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |kind| kind == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().is_some_and(|io| pipe(io.kind()));
        let json = cause.downcast_ref::<serde_json::Error>().and_then(|json| json.io_error_kind());
        io || json.is_some_and(pipe)
    })
}

/// An error and its causes, without causes whose text the error already contains. An I/O error without a file is that of
/// standard output.
fn message(error: &anyhow::Error) -> String {
    let is_json = error.downcast_ref::<serde_json::Error>().is_some_and(serde_json::Error::is_io);
    if error.is::<std::io::Error>() || is_json {
        return format!("cannot write to standard output: {error}");
    }
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| {
        match message.is_empty() {
            true => cause,
            false if message.contains(&cause) => message,
            false => format!("{message}: {cause}"),
        }
    })
}
