//! Which flags a strategy takes.

use super::{UnmaskerName, unmaskers};
use crate::flag::BadFlag;

/// What only some strategies are made of, each given by a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// How many tokens a step reveals, or how many steps there are.
    Schedule,
    /// Where tokens are revealed first.
    Order,
    /// A sampler layer.
    Sampler,
    /// An autoregressive scorer.
    Scorer,
}

/// A strategy that is about to run, with whatever it has already.
pub struct Uses<'a> {
    pub unmasker: &'a UnmaskerName,
    /// It brings a schedule of its own.
    pub scheduled: bool,
}

/// Refuses a flag that none of these strategies takes.
pub fn refuse_unused(
    (flag, value): (&'static str, impl ToString),
    part: Part,
    strategies: &[Uses<'_>],
) -> Result<(), BadFlag> {
    let takes =
        |uses: &Uses<'_>| uses.unmasker.takes(part) && !(uses.scheduled && part == Part::Schedule);
    if strategies.iter().any(takes) {
        return Ok(());
    }
    let names: Vec<_> = strategies.iter().map(|uses| format!("'{}'", uses.unmasker)).collect();
    let fitting = unmaskers::taking(part).join(", ");
    let does = if names.len() == 1 { "does" } else { "do" };
    let reason = format!("{} {does} not take it; {fitting} do", names.join(", "));
    Err(BadFlag::unused(flag, value, reason))
}
