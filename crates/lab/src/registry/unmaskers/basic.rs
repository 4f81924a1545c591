//! Strategies that need nothing but the model, a schedule and an order.

use conjoint::prelude::*;

use super::score;
use crate::registry::{HowMany, Part, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "exact",
            "one token a forward: the model's own joint distribution",
            |_, _| Ok(ExactSequential::default()),
        )
        .how_many(HowMany::One)
        .takes([Part::Order]),
        UnmaskerEntry::new("marginal", "several independent draws a forward", |_, _| {
            Ok(Marginal::default())
        })
        .how_many(HowMany::Schedule)
        .takes([Part::Order]),
        UnmaskerEntry::new(
            "confidence",
            "draw everywhere, keep the most confident (LLaDA, MaskGIT); score raw or filtered, temperature as Dream's alg_temp",
            |values, _| {
                let best = Confidence::new(score(values)?);
                Ok(match values.given_number("temperature")? {
                    None => best,
                    Some(temperature) => best.plackett_luce(temperature)?,
                })
            },
        )
        .parameter("score", "raw")
        .open("temperature")
        .how_many(HowMany::Schedule),
    ]
}
