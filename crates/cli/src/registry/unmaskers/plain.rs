//! Strategies that need nothing but the model, and never take a token back.

use conjoint::influence::GiniBound;
use conjoint::prelude::*;
use conjoint::unmasker::{Demask, Dilated, Klass, Origin, SlowFast};

use super::{Named, score};
use crate::registry::table::{Entry, Parameter};

pub static EXACT: Named = Entry {
    name: "exact",
    summary: "one token a forward: the model's own joint distribution",
    parameters: &[],
    make: |_, context| Ok(Box::new(ExactSequential::new(context.order.clone()))),
};

pub static MARGINAL: Named = Entry {
    name: "marginal",
    summary: "several independent draws a forward",
    parameters: &[],
    make: |_, context| Ok(Box::new(Marginal::new(context.order.clone()))),
};

pub static CONFIDENCE: Named = Entry {
    name: "confidence",
    summary: "draw everywhere, keep the most confident (LLaDA, MaskGIT); score raw or filtered, temperature as Dream's alg_temp",
    parameters: &[Parameter::new("score", "raw"), Parameter::open("temperature")],
    make: |values, _| {
        let best = Confidence::new(score(values)?);
        Ok(Box::new(match values.given_number("temperature")? {
            None => best,
            Some(temperature) => best.randomised(temperature)?,
        }))
    },
};

pub static ORIGIN: Named = Entry {
    name: "origin",
    summary: "Dream: each position by a coin of its own; needs a schedule of so many steps",
    parameters: &[Parameter::new("epsilon", "0.001")],
    make: |values, _| Ok(Box::new(Origin::new(values.number("epsilon")?)?)),
};

pub static KLASS: Named = Entry {
    name: "klass",
    summary: "KLASS: all that are sure and settled, else what the schedule wants",
    parameters: &[
        Parameter::new("tau", "0.9"),
        Parameter::new("epsilon", "0.01"),
        Parameter::new("stable", "2"),
    ],
    make: |values, _| {
        let (tau, epsilon) = (values.number("tau")?, values.number("epsilon")?);
        Ok(Box::new(Klass::new(tau, epsilon, values.count("stable")?)?))
    },
};

pub static SLOW_FAST: Named = Entry {
    name: "slow-fast",
    summary: "SlowFast: explore for some steps until a span is stable, then fill it",
    parameters: &[
        Parameter::new("steps", "6"),
        Parameter::new("span", "0.3"),
        Parameter::new("fill", "0.9"),
    ],
    make: |values, _| {
        let (span, fill) = (values.number("span")?, values.number("fill")?);
        Ok(Box::new(SlowFast::new(values.count("steps")?, span, fill)?))
    },
};

pub static DEMASK: Named = Entry {
    name: "demask",
    summary: "DEMASK's choice: together what is off by less than this, going by the rows alone",
    parameters: &[Parameter::new("bound", "0.1")],
    make: |values, context| {
        let strategy = Demask::new(GiniBound, values.number("bound")?)?;
        Ok(Box::new(strategy.order(context.order.clone())))
    },
};

pub static DILATED: Named = Entry {
    name: "dilated",
    summary: "DUS: positions far apart together, then those between them",
    parameters: &[Parameter::new("base", "2")],
    make: |values, _| Ok(Box::new(Dilated::new(values.count("base")?)?)),
};
