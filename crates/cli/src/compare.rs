//! `conjoint compare`.

use anyhow::Result;
use clap::Args;
use conjoint_lab::comparison::{Lines, Metric};
use conjoint_lab::registry::Line;

use crate::comparison::{self, ComparisonArguments};
use crate::flag::Flags;
use crate::names;

const FLAGS: Flags =
    Flags(&[("unmasker", "--strategies"), ("schedule", "--strategies"), ("k", "--k")]);

/// Compare strategies: quality against denoiser-equivalent forwards, a line a strategy
///
/// A sampler pass counts at its measured cost. Every point is kept once it is measured, so that an
/// interrupted comparison goes on where it stopped. Writes report.json, report.md and one SVG a figure.
///
/// A strategy is UNMASKER or UNMASKER+SCHEDULE, either with /REVISER behind it, or a preset (`conjoint strategies` lists them).
/// Without a schedule it is run at each of --k, where it has such a choice.
///
///     conjoint compare --model models/tiny --strategies exact,marginal,joint,joint+klass:0.8,joint/wino
///         --k 2,4,8 --out runs/compare
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    comparison: ComparisonArguments,
    /// The strategies, a line each
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,confidence,joint",
        value_parser = names::line
    )]
    strategies: Vec<Line>,
    /// Tokens per step [default: 2,4,8]
    #[arg(long, alias = "steps", value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..))]
    k: Option<Vec<u16>>,
    /// What is measured
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "right,parses,nll",
          value_parser = names::metric())]
    metrics: Vec<Metric>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { comparison, strategies, k, metrics } = arguments;
    let lines = Lines::new(strategies.clone()).at(k.clone()).by_default_at(&[2, 4, 8]);
    comparison::run(comparison, lines, metrics, FLAGS)
}
