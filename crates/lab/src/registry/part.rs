//! What a strategy takes.

use super::UnmaskerSpec;
use crate::Error;

/// What only some strategies are made of.
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

/// What decides how many tokens a strategy reveals in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowMany {
    /// Always one.
    One,
    /// The schedule.
    Schedule,
    /// The strategy itself, over a total number of steps that it takes from the schedule.
    Steps,
    /// The strategy alone.
    Own,
}

/// A strategy that is about to run, with whatever it has already.
pub struct Uses<'a> {
    /// The strategy.
    pub unmasker: &'a UnmaskerSpec,
    /// It brings a schedule of its own.
    pub scheduled: bool,
}

/// Rejects a parameter that none of these strategies takes.
///
/// # Errors
/// [`Error::Unused`], which names the strategies that would take it.
pub fn reject_unused(
    (name, value): (&'static str, impl ToString),
    part: Part,
    strategies: &[Uses<'_>],
) -> Result<(), Error> {
    let takes =
        |uses: &Uses<'_>| uses.unmasker.takes(part) && !(uses.scheduled && part == Part::Schedule);
    if strategies.iter().any(takes) {
        return Ok(());
    }
    let names: Vec<_> = strategies.iter().map(|uses| format!("'{}'", uses.unmasker)).collect();
    let fitting = strategies.first().map(|uses| uses.unmasker.peers_taking(part).join(", "));
    let does = if names.len() == 1 { "does" } else { "do" };
    let fitting = fitting.unwrap_or_default();
    let reason = format!("{} {does} not take it; {fitting} do", names.join(", "));
    Err(Error::unused(name, value, reason))
}
