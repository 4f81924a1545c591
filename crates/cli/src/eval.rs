//! `conjoint eval`.

use anyhow::Result;
use clap::Args;
use conjoint_lab::comparison::{Lines, Metric};
use conjoint_lab::registry::{Line, UnmaskerSpec};

use crate::comparison::{self, ComparisonArguments};
use crate::flag::Flags;
use crate::names;
use crate::numbers::integer;

const FLAGS: Flags = Flags(&[("strategies", "--unmaskers"), ("unmasker", "--unmaskers")]);

/// Measure how close strategies come to one-at-a-time sampling, the model's own joint
///
/// Measures for each strategy and K: MAUVE against one-at-a-time samples, the likelihood of the texts under the model's own
/// path, the divergence of neighbouring tokens, and the share of texts that pass the corpus' checks. Each value has a 95 %
/// interval. The MAUVE of `exact` is the ceiling: it compares two sets of one-at-a-time samples.
///
/// Points are written as they are measured. The same command resumes an interrupted evaluation.
///
/// Example: conjoint eval --model models/tiny --unmaskers exact,marginal,joint --k 2,4 --out runs/eval
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    comparison: ComparisonArguments,
    /// Strategies, separated by commas (`conjoint strategies` lists all)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,joint",
        value_parser = names::unmasker
    )]
    unmaskers: Vec<UnmaskerSpec>,
    /// K: tokens per step, separated by commas; `exact` always takes 1 [default: 2,3,4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = integer(1..=u16::MAX))]
    k: Option<Vec<u16>>,
    /// Metrics, separated by commas
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "right,parses,nll,mauve,neighbours",
        value_parser = names::metric()
    )]
    metrics: Vec<Metric>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { comparison, unmaskers, k, metrics } = arguments;
    let lines: Vec<Line> = unmaskers.iter().cloned().map(Line::new).collect();
    let lines = Lines::new(lines).at(k.clone()).by_default_at(&[2, 3, 4, 8]);
    comparison::run(comparison, lines, metrics, FLAGS)
}
