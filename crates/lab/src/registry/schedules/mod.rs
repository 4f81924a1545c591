//! Schedules and policies by name.

pub(super) mod parameters;
mod policies;
mod quantities;

use std::fmt;
use std::sync::Arc;

use conjoint::policy::DynPolicy;
use conjoint::prelude::*;
use conjoint::schedule::Linear;

use super::ScheduleEntry;
use super::entry::Scheduled;
use super::spec::Spec;
use crate::Error;
use parameters::{LINEAR, PER_STEP};

/// A schedule or a policy by name, parsed by a [`Registry`](super::Registry).
#[derive(Clone)]
pub struct ScheduleSpec {
    name: &'static str,
    written: String,
    scheduled: Scheduled,
}

impl ScheduleSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<ScheduleEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let scheduled = (entry.make)(&spec.values(&entry.signature));
        let scheduled = scheduled.map_err(|error| spec.with_own_name(&entry.signature, error))?;
        Ok(Self { name: spec.name, written: spec.to_string(), scheduled })
    }

    /// K tokens a step.
    ///
    /// # Errors
    /// Those of [`TokensPerStep::new`].
    pub fn per_step(k: usize) -> Result<Self, Error> {
        let scheduled = Scheduled::Quantity(Arc::new(TokensPerStep::new(k)?));
        Ok(Self { name: PER_STEP, written: format!("{PER_STEP}:{k}"), scheduled })
    }

    /// S steps that each reveal the same share.
    ///
    /// # Errors
    /// Those of [`Linear::new`].
    pub fn linear(steps: usize) -> Result<Self, Error> {
        let scheduled = Scheduled::Quantity(Arc::new(Linear::new(steps)?));
        Ok(Self { name: LINEAR, written: format!("{LINEAR}:{steps}"), scheduled })
    }

    /// The name without parameters.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The schedule, unless it is a policy.
    pub fn quantity(&self) -> Option<Arc<dyn Schedule>> {
        match &self.scheduled {
            Scheduled::Quantity(schedule) => Some(schedule.clone()),
            Scheduled::Policy(_) => None,
        }
    }

    /// The policy, unless it is a schedule.
    pub fn policy(&self) -> Option<Box<dyn DynPolicy>> {
        match &self.scheduled {
            Scheduled::Quantity(_) => None,
            Scheduled::Policy(policy) => Some(policy.clone()),
        }
    }

    /// The total number of steps, if there is one.
    pub fn steps(&self) -> Option<usize> {
        match &self.scheduled {
            Scheduled::Quantity(schedule) => schedule.steps(),
            Scheduled::Policy(policy) => policy.steps(),
        }
    }

    /// Sets this schedule or policy on a generator.
    pub fn apply(&self, generator: Generator) -> Generator {
        match &self.scheduled {
            Scheduled::Quantity(schedule) => generator.schedule(schedule.clone()),
            Scheduled::Policy(policy) => generator.policy(policy.clone()),
        }
    }
}

impl fmt::Debug for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduleSpec({})", self.written)
    }
}

/// The text that it was parsed from.
impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

pub(super) fn builtin() -> Vec<ScheduleEntry> {
    quantities::entries().into_iter().chain(policies::entries()).collect()
}
