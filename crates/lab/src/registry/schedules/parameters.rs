//! Schedules and policies by their parameters. A policy's entry and its strategy's entry share these.

use conjoint::policy::{Dilated, Hierarchical, Klass, LocalLeap, Origin, SlowFast};

use crate::registry::spec::{Values, invalid};

pub const PER_STEP: &str = "per-step";
pub const LINEAR: &str = "linear";

/// The largest number of steps. No sequence has more positions, so that a larger number is a typing error.
const MOST_STEPS: usize = 1_000_000;

/// The parameter `steps`.
pub fn steps(values: &Values<'_>) -> Result<usize, conjoint::Error> {
    let steps = values.count("steps")?;
    match steps <= MOST_STEPS {
        true => Ok(steps),
        false => Err(invalid("steps", &steps.to_string(), format!("at most {MOST_STEPS}"))),
    }
}

/// KLASS by its parameters.
pub fn klass(values: &Values<'_>) -> Result<Klass, conjoint::Error> {
    Klass::new(values.number("tau")?, values.number("epsilon")?, values.count("stable")?)
}

/// SlowFast by its parameters.
pub fn slow_fast(values: &Values<'_>) -> Result<SlowFast, conjoint::Error> {
    SlowFast::new(values.count("steps")?, values.number("span")?, values.number("fill")?)
}

/// DUS by its parameter.
pub fn dilated(values: &Values<'_>) -> Result<Dilated, conjoint::Error> {
    Dilated::new(values.count("base")?)
}

/// LocalLeap by its parameters.
pub fn local_leap(values: &Values<'_>) -> Result<LocalLeap, conjoint::Error> {
    LocalLeap::new(values.number("anchor")?, values.number("near")?, values.count("reach")?)
}

/// Hierarchical decoding by its parameters.
pub fn hierarchical(values: &Values<'_>) -> Result<Hierarchical, conjoint::Error> {
    Hierarchical::new(values.number("tau")?, values.number("low")?)
}

/// Dream's origin in so many steps.
pub fn origin(values: &Values<'_>, steps: usize) -> Result<Origin, conjoint::Error> {
    Origin::new(steps)?.with_epsilon(values.number("epsilon")?)
}
