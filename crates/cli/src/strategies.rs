//! `conjoint strategies`.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::{flag, names};

/// List every strategy, schedule and order with its parameters and their defaults
///
/// They are written as NAME, NAME:VALUE or NAME:PARAMETER=VALUE:PARAMETER=VALUE, for example
/// `--unmasker wino:keep=0.8 --schedule threshold:0.95 --order margin:raw`.
#[derive(Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<()> {
    let registry = names::registry();
    let mut out = std::io::stdout().lock();
    for (flag, role, list) in [
        ("--unmasker", "how tokens are revealed in a step", registry.unmasker_help()),
        ("--schedule", "how many tokens a step reveals", registry.schedule_help()),
        ("--order", "where tokens are revealed first", registry.order_help()),
    ] {
        writeln!(out, "{flag}: {role}\n{}", flag::PLAIN.text(&list))?;
    }
    Ok(())
}
