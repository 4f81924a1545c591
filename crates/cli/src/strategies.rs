//! `conjoint strategies`.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::{flag, names};

/// List every preset, unmasker, schedule, reviser and order with its parameters and their defaults
///
/// They are written as NAME, NAME:VALUE or NAME:PARAMETER=VALUE:PARAMETER=VALUE, and combined:
/// `--unmasker joint --schedule klass:tau=0.8 --revise wino` draws the positions that KLASS selects with the sampler layer,
/// and lets WINO take back what it doubts. A combination in which a part would be ignored is an error.
#[derive(Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<()> {
    let registry = names::registry();
    let mut out = std::io::stdout().lock();
    for (flag, role, list) in [
        ("--preset", "a strategy for a budget; all need a sampler layer", registry.preset_help()),
        (
            "--unmasker",
            "how positions get their tokens; published strategies bring a policy and a reviser",
            registry.unmasker_help(),
        ),
        (
            "--schedule",
            "how many tokens a step reveals; policies say where too, and take no --order",
            registry.schedule_help(),
        ),
        ("--revise", "what is taken back", registry.reviser_help()),
        ("--order", "where tokens are revealed first", registry.order_help()),
    ] {
        writeln!(out, "{flag}: {role}\n{}", flag::PLAIN.text(&list))?;
    }
    Ok(())
}
