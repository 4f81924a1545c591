use std::fmt;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::schedule::{EntropyBound, Factor, Linear, Threshold};

use super::ScheduleEntry;
use super::spec::{Spec, Values, refused};
use crate::Error;

/// How many tokens a step reveals, by name.
#[derive(Clone)]
pub struct ScheduleSpec {
    name: &'static str,
    written: String,
    schedule: Arc<dyn Schedule>,
}

impl ScheduleSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<ScheduleEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let schedule = (entry.make)(&spec.values(&entry.signature))?;
        Ok(Self { name: spec.name, written: spec.to_string(), schedule })
    }

    /// K tokens a step.
    ///
    /// # Errors
    /// Those of [`TokensPerStep::new`].
    pub fn per_step(k: usize) -> Result<Self, Error> {
        let schedule = Arc::new(TokensPerStep::new(k)?);
        Ok(Self { name: PER_STEP, written: format!("{PER_STEP}:{k}"), schedule })
    }

    /// S steps of equal portions.
    ///
    /// # Errors
    /// Those of [`Linear::new`].
    pub fn linear(steps: usize) -> Result<Self, Error> {
        let schedule = Arc::new(Linear::new(steps)?);
        Ok(Self { name: LINEAR, written: format!("{LINEAR}:{steps}"), schedule })
    }

    /// The name without parameters.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The schedule.
    pub fn schedule(&self) -> Arc<dyn Schedule> {
        self.schedule.clone()
    }
}

impl fmt::Debug for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduleSpec({})", self.written)
    }
}

/// As it was written.
impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

const PER_STEP: &str = "per-step";
const LINEAR: &str = "linear";

/// More steps than any sequence has positions; a typing error, not a wish.
const MOST_STEPS: usize = 1_000_000;

fn steps(values: &Values<'_>) -> Result<usize, conjoint::Error> {
    let steps = values.count("steps")?;
    match steps <= MOST_STEPS {
        true => Ok(steps),
        false => Err(refused("steps", &steps.to_string(), format!("at most {MOST_STEPS}"))),
    }
}

pub(super) fn builtin() -> Vec<ScheduleEntry> {
    vec![
        ScheduleEntry::new(PER_STEP, "K tokens a step", |values| {
            Ok(TokensPerStep::new(values.count("k")?)?)
        })
        .required("k"),
        ScheduleEntry::new("dream", "Dream's linear schedule with the floor rule", |values| {
            let schedule = DreamLinear::new(steps(values)?)?;
            Ok(schedule.with_epsilon(values.number("epsilon")?)?)
        })
        .required("steps")
        .parameter("epsilon", "0.001"),
        ScheduleEntry::new("llada", "LLaDA's even split of each block", |values| {
            Ok(LladaEven::new(steps(values)?)?)
        })
        .required("steps"),
        ScheduleEntry::new(LINEAR, "the linear schedule, exact in total", |values| {
            Ok(Linear::new(steps(values)?)?)
        })
        .required("steps"),
        ScheduleEntry::new(
            "cosine",
            "MaskGIT's cosine schedule: few at first, many at the end",
            |values| Ok(Cosine::new(steps(values)?)?),
        )
        .required("steps"),
        ScheduleEntry::new(
            "cosine-floor",
            "the cosine schedule with Dream's floor rule",
            |values| Ok(Cosine::floor(steps(values)?)?),
        )
        .required("steps"),
        ScheduleEntry::new(
            "threshold",
            "Fast-dLLM: all at least as sure as tau, and always the best one",
            |values| Ok(Threshold::new(values.number("tau")?)?),
        )
        .parameter("tau", "0.9"),
        ScheduleEntry::new(
            "factor",
            "Fast-dLLM: the more at once, the surer each must be",
            |values| Ok(Factor::new(values.number("f")?)?),
        )
        .parameter("f", "1"),
        ScheduleEntry::new(
            "entropy-bound",
            "EB-Sampler: as many as may depend on each other by at most gamma nats",
            |values| Ok(EntropyBound::new(values.number("gamma")?)?),
        )
        .parameter("gamma", "0.1"),
    ]
}
