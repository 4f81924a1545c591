//! `conjoint strategies`.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::{flag, names};

/// List every preset, unmasker, schedule, reviser, order and cache, with parameters and defaults
///
/// A name is written NAME, NAME:VALUE or NAME:PARAMETER=VALUE:PARAMETER=VALUE. Parameters in capitals without brackets are
/// required; all others are optional. name=value shows the default.
///
/// Parts can be combined: `--unmasker joint --schedule klass:tau=0.8 --revise wino` draws the positions that KLASS selects with
/// the sampler layer, and remasks doubtful tokens by WINO. A combination that would ignore a part is an error.
#[derive(Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<()> {
    let registry = names::registry();
    let mut out = std::io::stdout().lock();
    for (flag, role, list) in [
        (
            "--preset",
            "a strategy for a budget; all presets need a sampler layer",
            registry.preset_help(),
        ),
        (
            "--unmasker",
            "how tokens are drawn; published strategies include a policy and a reviser",
            registry.unmasker_help(),
        ),
        (
            "--schedule",
            "how many tokens a step reveals; a policy also selects where, and takes no --order",
            registry.schedule_help(),
        ),
        ("--revise", "which tokens are remasked or replaced", registry.reviser_help()),
        ("--order", "which positions are revealed first", registry.order_help()),
        ("--cache", "which positions a forward computes again", registry.cache_help()),
    ] {
        writeln!(out, "{flag}: {role}\n{}", flag::PLAIN.text(&list))?;
    }
    Ok(())
}
