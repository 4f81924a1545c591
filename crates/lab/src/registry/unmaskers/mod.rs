mod basic;
mod layered;
mod published;
mod scored;

use std::fmt;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::strategy::Strategy;

use super::spec::{Spec, Values};
use super::{Context, HowMany, Part, ScheduleSpec, UnmaskerEntry};
use crate::Error;

pub(super) fn builtin() -> Vec<UnmaskerEntry> {
    let files = [basic::entries(), layered::entries(), scored::entries(), published::entries()];
    files.into_iter().flatten().collect()
}

/// How tokens are revealed in a step, by name.
#[derive(Clone)]
pub struct UnmaskerSpec {
    spec: Spec,
    entry: Arc<UnmaskerEntry>,
    /// All entries of the registry that it was parsed by.
    peers: Arc<Vec<Arc<UnmaskerEntry>>>,
}

impl UnmaskerSpec {
    pub(super) fn parse(text: &str, entries: &Arc<Vec<Arc<UnmaskerEntry>>>) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        Ok(Self { spec, entry: entry.clone(), peers: entries.clone() })
    }

    /// What decides how many tokens it reveals in a step.
    pub fn how_many(&self) -> HowMany {
        self.entry.how_many
    }

    /// Whether it is made of this.
    pub fn takes(&self, part: Part) -> bool {
        self.entry.is_made_of(part)
    }

    /// The names of all strategies of its registry that are made of this.
    pub fn peers_taking(&self, part: Part) -> Vec<&'static str> {
        let taking = self.peers.iter().filter(|entry| entry.is_made_of(part));
        taking.map(|entry| entry.name()).collect()
    }

    /// Rejects a schedule that does not go with it.
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
        made.map_err(|error| match error {
            Error::Sampling(_) | Error::Lacking(_) => {
                Error::parameter("unmasker", &self.spec, error)
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

/// As it was written.
impl fmt::Display for UnmaskerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

fn score(values: &Values<'_>) -> Result<Score, conjoint::Error> {
    let choice = values.choice("score", &["raw", "filtered"])?;
    Ok(if choice == "raw" { Score::Raw } else { Score::Filtered })
}
