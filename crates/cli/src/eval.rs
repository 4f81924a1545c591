//! `conjoint eval`.

use anyhow::Result;
use clap::Args;
use conjoint_lab::comparison::{Lines, Metric};
use conjoint_lab::registry::{Line, UnmaskerSpec};

use crate::comparison::{self, ComparisonArguments};
use crate::flag::Flags;
use crate::names;

const FLAGS: Flags = Flags(&[("strategies", "--unmaskers"), ("unmasker", "--unmaskers")]);

/// Measure how close strategies come to one-at-a-time sampling, the model's own joint
///
/// For each strategy and K: MAUVE against one-at-a-time samples (that of `exact` is the ceiling: a second
/// such set against the first), the likelihood of the texts under the model's own path, the divergence of
/// neighbouring tokens, and the share of texts that pass the corpus' checks. Every figure has a
/// 95 % interval. Every point is kept once it is measured, so that an interrupted evaluation goes on
/// where it stopped.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    comparison: ComparisonArguments,
    /// The strategies (`conjoint strategies` lists all)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,joint",
        value_parser = names::unmasker
    )]
    unmaskers: Vec<UnmaskerSpec>,
    /// Tokens per step; `exact` always takes 1 [default: 2,3,4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..))]
    k: Option<Vec<u16>>,
    /// What is measured
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
