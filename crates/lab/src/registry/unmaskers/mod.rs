mod basic;
mod layered;
mod score;
mod scored;
mod with_policy;
mod with_reviser;

use std::fmt;
use std::sync::Arc;

use conjoint::strategy::Strategy;

use super::spec::Spec;
use super::{Context, HowMany, Part, ScheduleSpec, UnmaskerEntry};
use crate::{Error, reason};

pub(super) fn builtin() -> Vec<UnmaskerEntry> {
    [
        basic::entries(),
        layered::entries(),
        scored::entries(),
        with_policy::entries(),
        with_reviser::entries(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A strategy by name, parsed by a [`Registry`](super::Registry).
#[derive(Clone)]
pub struct UnmaskerSpec {
    spec: Spec,
    entry: Arc<UnmaskerEntry>,
    /// All entries of the registry that parsed it.
    peers: Arc<Vec<Arc<UnmaskerEntry>>>,
}

impl UnmaskerSpec {
    pub(super) fn parse(text: &str, entries: &Arc<Vec<Arc<UnmaskerEntry>>>) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        Ok(Self { spec, entry: entry.clone(), peers: entries.clone() })
    }

    /// What decides how many tokens a step reveals.
    pub fn how_many(&self) -> HowMany {
        self.entry.how_many
    }

    /// Whether the strategy takes this part.
    pub fn takes(&self, part: Part) -> bool {
        self.entry.is_made_of(part)
    }

    /// The names of all strategies of its registry that take this part.
    pub fn peers_taking(&self, part: Part) -> Vec<&'static str> {
        let taking = self.peers.iter().filter(|entry| entry.is_made_of(part));
        taking.map(|entry| entry.name()).collect()
    }

    /// Rejects a schedule without a total number of steps if the strategy needs one.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `schedule`.
    pub fn check(&self, schedule: &ScheduleSpec) -> Result<(), Error> {
        match self.how_many() {
            HowMany::Steps if schedule.steps().is_none() => {
                let reason = format!(
                    "'{self}' needs a schedule with a total number of steps, such as linear:STEPS"
                );
                Err(Error::parameter("schedule", schedule, reason))
            }
            _ => Ok(()),
        }
    }

    /// Makes the strategy.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `unmasker`, if a parameter of the strategy is out of range or the context lacks a part.
    pub fn make(&self, context: &Context) -> Result<Strategy, Error> {
        let made = (self.entry.make)(&self.spec.values(&self.entry.signature), context);
        let made = made.map_err(|error| self.spec.with_own_name(&self.entry.signature, error));
        made.map_err(|error| match error {
            Error::Sampling(_) | Error::Lacking(_) => {
                let text = self.spec.to_string();
                let reason = reason(&error, &text);
                Error::parameter("unmasker", text, reason)
            }
            error => error,
        })
    }
}

impl fmt::Debug for UnmaskerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnmaskerSpec({})", self.spec)
    }
}

/// The text that it was parsed from.
impl fmt::Display for UnmaskerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}
