use std::str::FromStr;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::schedule::{EntropyBound, Factor, Linear, Threshold};

use super::spec::{Spec, Values};
use super::table::{self, Entry, Parameter};

/// How many tokens a step reveals, by name.
#[derive(Clone)]
pub struct ScheduleName {
    spec: Spec,
    schedule: Arc<dyn Schedule>,
}

impl ScheduleName {
    /// K tokens a step.
    pub fn per_step(k: usize) -> Result<Self, String> {
        format!("per-step:{k}").parse()
    }

    /// S steps of equal portions.
    pub fn linear(steps: usize) -> Result<Self, String> {
        format!("linear:{steps}").parse()
    }

    /// The name without parameters.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    pub fn schedule(&self) -> Arc<dyn Schedule> {
        self.schedule.clone()
    }
}

impl std::fmt::Debug for ScheduleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScheduleName({})", self.spec)
    }
}

impl std::fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

impl FromStr for ScheduleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spec = Spec::parse(text, TABLE.iter())?;
        let schedule = spec.make(TABLE.iter(), &()).map_err(|error| error.to_string())?;
        Ok(Self { spec, schedule })
    }
}

/// The table for help.
pub fn schedules() -> String {
    table::list(TABLE.iter())
}

/// More steps than any sequence has positions; a typing error, not a wish.
const MOST_STEPS: usize = 1_000_000;

fn steps(values: &Values<'_>) -> Result<usize, conjoint::Error> {
    let steps = values.count("steps")?;
    if steps > MOST_STEPS {
        let expected = format!("at most {MOST_STEPS}");
        return Err(conjoint::Error::Parameter {
            name: "steps",
            value: steps.to_string(),
            expected,
        });
    }
    Ok(steps)
}

const STEPS: &[Parameter] = &[Parameter::required("steps")];

const TABLE: &[Entry<Arc<dyn Schedule>, ()>] = &[
    Entry {
        name: "per-step",
        summary: "K tokens a step",
        parameters: &[Parameter::required("k")],
        make: |values, ()| Ok(Arc::new(TokensPerStep::new(values.count("k")?)?)),
    },
    Entry {
        name: "dream",
        summary: "Dream's linear schedule with the floor rule",
        parameters: &[Parameter::required("steps"), Parameter::new("epsilon", "0.001")],
        make: |values, ()| {
            let schedule = DreamLinear::new(steps(values)?)?;
            Ok(Arc::new(schedule.with_epsilon(values.number("epsilon")?)?))
        },
    },
    Entry {
        name: "llada",
        summary: "LLaDA's even split of each block",
        parameters: STEPS,
        make: |values, ()| Ok(Arc::new(LladaEven::new(steps(values)?)?)),
    },
    Entry {
        name: "linear",
        summary: "the linear schedule, exact in total",
        parameters: STEPS,
        make: |values, ()| Ok(Arc::new(Linear::new(steps(values)?)?)),
    },
    Entry {
        name: "cosine",
        summary: "MaskGIT's cosine schedule: few at first, many at the end",
        parameters: STEPS,
        make: |values, ()| Ok(Arc::new(Cosine::new(steps(values)?)?)),
    },
    Entry {
        name: "cosine-floor",
        summary: "the cosine schedule with Dream's floor rule",
        parameters: STEPS,
        make: |values, ()| Ok(Arc::new(Cosine::floor(steps(values)?)?)),
    },
    Entry {
        name: "threshold",
        summary: "Fast-dLLM: all at least as sure as tau, and always the best one",
        parameters: &[Parameter::new("tau", "0.9")],
        make: |values, ()| Ok(Arc::new(Threshold::new(values.number("tau")?)?)),
    },
    Entry {
        name: "factor",
        summary: "Fast-dLLM: the more at once, the surer each must be",
        parameters: &[Parameter::new("f", "1")],
        make: |values, ()| Ok(Arc::new(Factor::new(values.number("f")?)?)),
    },
    Entry {
        name: "entropy-bound",
        summary: "EB-Sampler: as many as may depend on each other by at most gamma nats",
        parameters: &[Parameter::new("gamma", "0.1")],
        make: |values, ()| Ok(Arc::new(EntropyBound::new(values.number("gamma")?)?)),
    },
];
