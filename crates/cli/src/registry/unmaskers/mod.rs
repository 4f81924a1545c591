mod context;
mod layered;
mod plain;
mod revocable;
mod scored;

use std::str::FromStr;

use anyhow::Result;
use conjoint::prelude::*;
use conjoint::unmasker::Strategy;

use super::ScheduleName;
use super::part::Part::{self, Order, Sampler, Scorer};
use super::spec::{Spec, Values};
use super::table::{self, Entry};
use crate::flag::BadFlag;

pub use context::Context;
use context::Lacking;

/// A strategy that can be named.
type Named = Entry<Box<dyn Strategy>, Context>;

/// What decides how many tokens a strategy reveals in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portions {
    /// Always one.
    One,
    /// The schedule.
    Schedule,
    /// The strategy itself, over a total number of steps that it takes from the schedule.
    Steps,
    /// The strategy alone.
    Own,
}

/// A strategy, what decides its portions, and what else it is made of.
struct Row(&'static Named, Portions, &'static [Part]);

/// Every strategy: what it does not take is no flag of it.
static TABLE: [Row; 20] = [
    Row(&plain::EXACT, Portions::One, &[Order]),
    Row(&plain::MARGINAL, Portions::Schedule, &[Order]),
    Row(&plain::CONFIDENCE, Portions::Schedule, &[]),
    Row(&layered::JOINT, Portions::Schedule, &[Order, Sampler]),
    Row(&layered::ADAPTIVE_JOINT, Portions::Schedule, &[Order, Sampler]),
    Row(&layered::CLIPPED_JOINT, Portions::Schedule, &[Order, Sampler]),
    Row(&scored::ENERGY, Portions::Schedule, &[Order, Scorer]),
    Row(&scored::COPULA, Portions::Schedule, &[Scorer]),
    Row(&scored::PREFIX_ACCEPTANCE, Portions::Own, &[Scorer]),
    Row(&plain::ORIGIN, Portions::Steps, &[]),
    Row(&plain::KLASS, Portions::Schedule, &[]),
    Row(&plain::SLOW_FAST, Portions::Own, &[]),
    Row(&plain::DEMASK, Portions::Own, &[Order]),
    Row(&plain::DILATED, Portions::Own, &[]),
    Row(&revocable::WINO, Portions::Own, &[]),
    Row(&revocable::REMDM, Portions::Steps, &[]),
    Row(&revocable::REMDM_LOOP, Portions::Steps, &[]),
    Row(&revocable::RCR, Portions::Schedule, &[]),
    Row(&revocable::P2, Portions::Steps, &[]),
    Row(&revocable::EDIT, Portions::Own, &[]),
];

impl Row {
    fn takes(&self, part: Part) -> bool {
        let Self(_, portions, parts) = self;
        match part {
            Part::Schedule => matches!(portions, Portions::Schedule | Portions::Steps),
            part => parts.contains(&part),
        }
    }
}

fn entries() -> impl Iterator<Item = &'static Named> + Clone {
    TABLE.iter().map(|Row(entry, ..)| *entry)
}

/// The table for help.
pub fn unmaskers() -> String {
    table::list(entries())
}

/// The names of the strategies that take this.
pub fn taking(part: Part) -> Vec<&'static str> {
    TABLE.iter().filter(|row| row.takes(part)).map(|Row(entry, ..)| entry.name).collect()
}

/// How tokens are revealed in a step, by name.
#[derive(Clone)]
pub struct UnmaskerName {
    spec: Spec,
    row: &'static Row,
}

impl UnmaskerName {
    /// One token a forward.
    pub fn exact() -> Result<Self, String> {
        plain::EXACT.name.parse()
    }

    /// What decides how many tokens it reveals in a step.
    pub fn portions(&self) -> Portions {
        self.row.1
    }

    /// Whether it is made of this.
    pub fn takes(&self, part: Part) -> bool {
        self.row.takes(part)
    }

    /// Refuses a schedule that does not go with it.
    pub fn check(&self, schedule: &ScheduleName) -> Result<(), String> {
        match self.portions() {
            Portions::Steps if schedule.schedule().steps().is_none() => Err(format!(
                "'{self}' needs a schedule with a total number of steps, such as linear:STEPS"
            )),
            _ => Ok(()),
        }
    }

    /// Makes the strategy; a bad parameter, or a part that is not there, is blamed on `flag`.
    pub fn make(&self, flag: &'static str, context: &Context) -> Result<Box<dyn Strategy>> {
        let blamed = |reason: &dyn ToString| BadFlag::new(flag, &self.spec, reason.to_string());
        self.spec.make(entries(), context).map_err(|error| {
            match (error.downcast_ref::<conjoint::Error>(), error.downcast_ref::<Lacking>()) {
                (Some(refused), _) => blamed(refused).into(),
                (_, Some(lacking)) => blamed(lacking).into(),
                _ => error,
            }
        })
    }
}

impl std::fmt::Debug for UnmaskerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnmaskerName({})", self.spec)
    }
}

impl std::fmt::Display for UnmaskerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

impl FromStr for UnmaskerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spec = Spec::parse(text, entries())?;
        let row = TABLE.iter().find(|Row(entry, ..)| entry.name == spec.name);
        Ok(Self { row: row.ok_or_else(|| format!("'{text}' is not in the table"))?, spec })
    }
}

fn score(values: &Values<'_>) -> Result<Score, conjoint::Error> {
    let choice = values.choice("score", &["raw", "filtered"])?;
    Ok(if choice == "raw" { Score::Raw } else { Score::Filtered })
}
