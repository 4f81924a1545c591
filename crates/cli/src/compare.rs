//! `conjoint compare`.

use anyhow::Result;
use clap::Args;
use conjoint_lab::comparison::{Lines, Metric};
use conjoint_lab::registry::Line;

use crate::comparison::{self, ComparisonArguments};
use crate::flag::Flags;
use crate::names;
use crate::numbers::integer;

const FLAGS: Flags =
    Flags(&[("unmasker", "--strategies"), ("schedule", "--strategies"), ("k", "--k")]);

/// Compare strategies in quality and cost
///
/// Cost is in denoiser-equivalent forwards per token: a sampler pass counts at its measured time. Writes report.json,
/// report.md and one SVG per metric. Points are written as they are measured. The same command resumes an interrupted
/// comparison.
///
/// A strategy is written UNMASKER or UNMASKER+SCHEDULE, each optionally followed by /REVISER. The name of a preset also works
/// (`conjoint strategies` lists all). A strategy without a schedule runs at each of --k, if it takes a K.
///
///     conjoint compare --model models/tiny --strategies exact,marginal,joint,joint+klass:0.8,joint/wino
///         --k 2,4,8 --out runs/compare
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    comparison: ComparisonArguments,
    /// Strategies, separated by commas. Each is a line of the plots
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,confidence,joint",
        value_parser = names::line
    )]
    strategies: Vec<Line>,
    /// K: tokens per step, separated by commas [default: 2,4,8]
    #[arg(long, alias = "steps", value_name = "LIST", value_delimiter = ',',
          value_parser = integer(1..=u16::MAX))]
    k: Option<Vec<u16>>,
    /// Metrics, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "right,parses,nll",
          value_parser = names::metric())]
    metrics: Vec<Metric>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { comparison, strategies, k, metrics } = arguments;
    let lines = Lines::new(strategies.clone()).at(k.clone()).by_default_at(&[2, 4, 8]);
    comparison::run(comparison, lines, metrics, FLAGS)
}
