//! Strategies that run a sampler layer between draws.

use conjoint::prelude::*;
use conjoint::unmasker::{AdaptiveJoint, Bound, ClippedJoint};

use crate::registry::spec::{Values, refused};
use crate::registry::{HowMany, Part, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    let entries = [
        UnmaskerEntry::new(
            "joint",
            "one full forward, then a sampler pass before each further token; over all rows, or w for each token still to be revealed; tokens that depend on each other by at most bound nats share a pass",
            |values, context| {
                let mut strategy = LearnedJoint::new(context.layer()?);
                if let Some(w) = values.given_count("window")? {
                    strategy = strategy.window(w)?;
                }
                if let Some(gamma) = values.given_number("bound")? {
                    strategy = strategy.bound(gamma)?;
                }
                Ok(strategy)
            },
        )
        .open("window")
        .open("bound"),
        UnmaskerEntry::new(
            "adaptive-joint",
            "joint while the layer is sure, up to the schedule: entropy at most 1 nat or this, or confidence at least this",
            |values, context| {
                Ok(AdaptiveJoint::new(context.layer()?, bound(values)?)?)
            },
        )
        .open("entropy")
        .open("confidence"),
        UnmaskerEntry::new(
            "clipped-joint",
            "joint, each probability kept within what the marginals and the path allow",
            |_, context| Ok(ClippedJoint::new(context.layer()?)),
        ),
    ];
    let layered = |entry: UnmaskerEntry| {
        entry.how_many(HowMany::Schedule).takes([Part::Order, Part::Sampler])
    };
    let mut entries: Vec<_> = entries.map(layered).into();
    entries.push(verified());
    entries
}

fn verified() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "verified",
        "exact, with fewer forwards: the layer drafts k - 1 tokens, the next forward keeps or replaces them; positions exact, or any that the layer chose",
        |values, context| {
            let strategy = VerifiedJoint::new(context.layer()?, values.count("k")?)?;
            Ok(match values.choice("positions", &["exact", "any"])? {
                "any" => strategy.any_order(),
                _ => strategy,
            })
        },
    )
    .parameter("k", "4")
    .parameter("positions", "exact")
    .takes([Part::Order, Part::Sampler])
}

/// How sure the layer must be.
fn bound(values: &Values<'_>) -> Result<Bound, conjoint::Error> {
    let (entropy, confidence) =
        (values.given_number("entropy")?, values.given_number("confidence")?);
    match (entropy, confidence) {
        (Some(_), Some(c)) => {
            let expected = "nothing beside entropy: one of the two is the bound".to_owned();
            Err(refused("confidence", &c.to_string(), expected))
        }
        (None, Some(c)) => Ok(Bound::Confidence(c)),
        (h, None) => Ok(Bound::Entropy(h.unwrap_or(1.0))),
    }
}
