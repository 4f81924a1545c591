//! Strategies that run a sampler layer between draws.

use conjoint::prelude::*;
use conjoint::unmasker::{AdaptiveJoint, Bound, ClippedJoint};

use super::Named;
use crate::registry::spec::refused;
use crate::registry::table::{Entry, Parameter};

pub static JOINT: Named = Entry {
    name: "joint",
    summary: "one full forward, then a sampler pass before each further token; over all rows, or w · K of window w",
    parameters: &[Parameter::open("window")],
    make: |values, context| {
        let strategy = LearnedJoint::new(context.layer()?).order(context.order.clone());
        Ok(Box::new(match values.given_count("window")? {
            None => strategy,
            Some(w) => strategy.window(w)?,
        }))
    },
};

pub static ADAPTIVE_JOINT: Named = Entry {
    name: "adaptive-joint",
    summary: "joint while the layer is sure, up to the schedule: entropy at most 1 nat or this, or confidence at least this",
    parameters: &[Parameter::open("entropy"), Parameter::open("confidence")],
    make: |values, context| {
        let (entropy, confidence) =
            (values.given_number("entropy")?, values.given_number("confidence")?);
        let bound = match (entropy, confidence) {
            (Some(_), Some(c)) => {
                let expected = "nothing beside entropy: one of the two is the bound".to_owned();
                return Err(refused("confidence", &c.to_string(), expected).into());
            }
            (None, Some(c)) => Bound::Confidence(c),
            (h, None) => Bound::Entropy(h.unwrap_or(1.0)),
        };
        let strategy = AdaptiveJoint::new(context.layer()?, bound)?;
        Ok(Box::new(strategy.order(context.order.clone())))
    },
};

pub static CLIPPED_JOINT: Named = Entry {
    name: "clipped-joint",
    summary: "joint, each probability kept within what the marginals and the path allow",
    parameters: &[],
    make: |_, context| {
        Ok(Box::new(ClippedJoint::new(context.layer()?).order(context.order.clone())))
    },
};
