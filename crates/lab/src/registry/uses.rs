//! Settings that no strategy takes.

use super::{Part, UnmaskerSpec};
use crate::Error;

/// A strategy that is about to run.
pub struct Uses<'a> {
    /// The strategy.
    pub unmasker: &'a UnmaskerSpec,
    /// Whether its line already sets a schedule.
    pub scheduled: bool,
}

/// Rejects a parameter that none of these strategies takes.
///
/// # Errors
/// [`Error::Unused`] names the strategies that take it.
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
    let reason = format!("{} {does} not take it: use one of {fitting}", names.join(", "));
    Err(Error::unused(name, value, reason))
}
