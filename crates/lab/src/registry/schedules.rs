use std::fmt;
use std::sync::Arc;

use conjoint::influence::GiniBound;
use conjoint::policy::{
    BlockStates, Demask, Dilated, Hierarchical, Klass, LocalLeap, Origin, Saber, SlowFast,
};
use conjoint::prelude::*;
use conjoint::schedule::{EntropyBound, Factor, Linear, Threshold, WideThreshold};

use super::ScheduleEntry;
use super::entry::Scheduled;
use super::spec::{Spec, Values, refused};
use crate::Error;

/// How many tokens a step reveals, or a policy that says where too, by name.
#[derive(Clone)]
pub struct ScheduleSpec {
    name: &'static str,
    written: String,
    scheduled: Scheduled,
}

impl ScheduleSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<ScheduleEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let scheduled = (entry.make)(&spec.values(&entry.signature))?;
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

    /// S steps of equal portions.
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

    /// The total number of steps, if there is one.
    pub fn steps(&self) -> Option<usize> {
        match &self.scheduled {
            Scheduled::Quantity(schedule) => schedule.steps(),
            Scheduled::Policy(policy) => policy.steps(),
        }
    }

    /// The generator with this schedule or policy.
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

/// KLASS by its parameters.
pub(super) fn klass(values: &Values<'_>) -> Result<Klass, conjoint::Error> {
    Klass::new(values.number("tau")?, values.number("epsilon")?, values.count("stable")?)
}

/// SlowFast by its parameters.
pub(super) fn slow_fast(values: &Values<'_>) -> Result<SlowFast, conjoint::Error> {
    SlowFast::new(values.count("steps")?, values.number("span")?, values.number("fill")?)
}

/// DUS by its parameter.
pub(super) fn dilated(values: &Values<'_>) -> Result<Dilated, conjoint::Error> {
    Dilated::new(values.count("base")?)
}

/// LocalLeap by its parameters.
pub(super) fn local_leap(values: &Values<'_>) -> Result<LocalLeap, conjoint::Error> {
    LocalLeap::new(values.number("anchor")?, values.number("near")?, values.count("reach")?)
}

/// Hierarchical decoding by its parameters.
pub(super) fn hierarchical(values: &Values<'_>) -> Result<Hierarchical, conjoint::Error> {
    Hierarchical::new(values.number("tau")?, values.number("low")?)
}

/// Dream's origin in so many steps.
pub(super) fn origin(values: &Values<'_>, steps: usize) -> Result<Origin, conjoint::Error> {
    Origin::new(steps)?.with_epsilon(values.number("epsilon")?)
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
        ScheduleEntry::new(
            "wide-threshold",
            "WINO's wide in: all surer than tau, but at most 70 % of the masked (5 to 20); goes with the reviser wino",
            |values| Ok(WideThreshold::new(values.number("tau")?)?),
        )
        .parameter("tau", "0.6"),
    ]
    .into_iter()
    .chain(policies())
    .collect()
}

/// Rules that say where and how many at once; they take no order.
fn policies() -> Vec<ScheduleEntry> {
    vec![
        ScheduleEntry::policy(
            "klass",
            "policy: KLASS, all that are sure and settled, else the most confident one",
            |values| Ok(klass(values)?),
        )
        .parameter("tau", "0.9")
        .parameter("epsilon", "0.01")
        .parameter("stable", "2"),
        ScheduleEntry::policy(
            "demask",
            "policy: DEMASK, together what is off by less than this, going by the rows alone",
            |values| Ok(Demask::new(GiniBound, values.number("bound")?)?.order(Entropy)),
        )
        .parameter("bound", "0.1"),
        ScheduleEntry::policy(
            "slow-fast",
            "policy: SlowFast, explore for some steps until a span is stable, then fill it",
            |values| Ok(slow_fast(values)?),
        )
        .parameter("steps", "6")
        .parameter("span", "0.3")
        .parameter("fill", "0.9"),
        ScheduleEntry::policy(
            "dilated",
            "policy: DUS, positions far apart together, then those between them",
            |values| Ok(dilated(values)?),
        )
        .parameter("base", "2"),
        ScheduleEntry::policy(
            "origin",
            "policy: Dream's origin, each position by a coin of its own",
            |values| Ok(origin(values, steps(values)?)?),
        )
        .required("steps")
        .parameter("epsilon", "0.001"),
        ScheduleEntry::policy(
            "local-leap",
            "policy: LocalLeap, near a sure position less confidence suffices",
            |values| Ok(local_leap(values)?),
        )
        .parameter("anchor", "0.9")
        .parameter("near", "0.75")
        .parameter("reach", "4"),
        ScheduleEntry::policy(
            "hierarchical",
            "policy: dInfer, one position in every run of masks, and all that are sure",
            |values| Ok(hierarchical(values)?),
        )
        .parameter("tau", "0.9")
        .parameter("low", "0.4"),
        ScheduleEntry::policy(
            "saber",
            "policy: Saber, at least so many of those surer than the ones before",
            |values| Ok(Saber::new(values.count("least")?)?),
        )
        .parameter("least", "2"),
        ScheduleEntry::policy(
            "block-states",
            "policy: d3LLM, entropy at most theta nats in all open blocks, progress in the first; see open next block",
            |values| Ok(BlockStates::new(values.number("theta")?, values.number("full")?)?),
        )
        .parameter("theta", "0.4")
        .parameter("full", "0.95"),
    ]
}
