//! `conjoint strategies`.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::registry;

/// List every strategy, schedule and order with its parameters and their defaults
///
/// They are written as NAME, NAME:VALUE or NAME:PARAMETER=VALUE:PARAMETER=VALUE, for example
/// `--unmasker wino:keep=0.8 --schedule threshold:0.95 --order margin:raw`.
#[derive(Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (flag, role, list) in [
        ("--unmasker", "how tokens are revealed in a step", registry::unmaskers()),
        ("--schedule", "how many tokens a step reveals", registry::schedules()),
        ("--order", "where tokens are revealed first", registry::orders()),
    ] {
        writeln!(out, "{flag}: {role}\n{list}")?;
    }
    Ok(())
}
