//! Strategies that choose how many tokens go together, and never take one back.

use conjoint::influence::GiniBound;
use conjoint::unmasker::{Demask, Dilated, Klass, Origin, SlowFast};

use crate::registry::{Part, Portions, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "origin",
            "Dream: each position by a coin of its own; needs a schedule of so many steps",
            |values, _| Ok(Origin::new(values.number("epsilon")?)?),
        )
        .parameter("epsilon", "0.001")
        .portions(Portions::Steps),
        UnmaskerEntry::new(
            "klass",
            "KLASS: all that are sure and settled, else what the schedule wants",
            |values, _| {
                let (tau, epsilon) = (values.number("tau")?, values.number("epsilon")?);
                Ok(Klass::new(tau, epsilon, values.count("stable")?)?)
            },
        )
        .parameter("tau", "0.9")
        .parameter("epsilon", "0.01")
        .parameter("stable", "2")
        .portions(Portions::Schedule),
        UnmaskerEntry::new(
            "slow-fast",
            "SlowFast: explore for some steps until a span is stable, then fill it",
            |values, _| {
                let (span, fill) = (values.number("span")?, values.number("fill")?);
                Ok(SlowFast::new(values.count("steps")?, span, fill)?)
            },
        )
        .parameter("steps", "6")
        .parameter("span", "0.3")
        .parameter("fill", "0.9"),
        UnmaskerEntry::new(
            "demask",
            "DEMASK's choice: together what is off by less than this, going by the rows alone",
            |values, context| {
                let strategy = Demask::new(GiniBound, values.number("bound")?)?;
                Ok(strategy.order(context.order()))
            },
        )
        .parameter("bound", "0.1")
        .takes([Part::Order]),
        UnmaskerEntry::new(
            "dilated",
            "DUS: positions far apart together, then those between them",
            |values, _| Ok(Dilated::new(values.count("base")?)?),
        )
        .parameter("base", "2"),
    ]
}
