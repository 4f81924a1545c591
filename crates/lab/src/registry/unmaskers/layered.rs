//! Strategies that run a sampler layer between draws.

use conjoint::prelude::*;
use conjoint::unmasker::{AdaptiveJoint, Bound, ClippedJoint};

use crate::registry::spec::{Values, invalid};
use crate::registry::{Conformance, HowMany, Part, Reference, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    let scheduled = [joint(), adaptive_joint(), clipped_joint()];
    let scheduled = scheduled.map(|entry| entry.how_many(HowMany::Schedule));
    let entries = scheduled.into_iter().chain([verified()]);
    entries.map(|entry| entry.takes([Part::Order, Part::Sampler])).collect()
}

fn joint() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "joint",
        "one full forward, then a sampler pass before each further token; window: rows computed per token still to reveal \
         (default: all); bound: tokens that depend on each other by at most this many nats share a pass",
        |values, context| {
            let mut strategy = LearnedJoint::new(context.layer()?);
            if let Some(rows) = values.given_count("window")? {
                strategy = strategy.window(rows)?;
            }
            if let Some(nats) = values.given_number("bound")? {
                strategy = strategy.bound(nats)?;
            }
            Ok(strategy)
        },
    )
    .open("window")
    .open("bound")
    .documented(Reference {
        item: "`LearnedJoint`",
        rule: "draws one position after the other, with a sampler pass before each further token; `window`: rows of a pass \
               for each token still to be revealed (default: all); `bound`: tokens within so many nats share a pass \
               (default: none)",
        law: "yes; with an exact layer at any K, without a bound above 0",
        source: "2509.22738",
        ..Reference::default()
    })
    .tested(Conformance::of(&["joint", "joint:window=1"]))
}

fn adaptive_joint() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "adaptive-joint",
        "joint while the layer is sure, at most as many as the schedule; entropy: at most so many nats (default: 1); \
         confidence: at least so much, instead of entropy",
        |values, context| Ok(AdaptiveJoint::new(context.layer()?, bound(values)?)?),
    )
    .open("entropy")
    .open("confidence")
    .documented(Reference {
        item: "`AdaptiveJoint`",
        rule: "draws as `joint` while the layer is sure, and may stop early; `entropy`: H is at most so many nats (default: \
               1); `confidence`: c is at least so much",
        law: "yes; with an exact layer for every bound",
        source: "own, on 2509.22738",
        ..Reference::default()
    })
    .tested(
        Conformance::of(&["adaptive-joint", "adaptive-joint:confidence=0.4"]).moves_per_position(2),
    )
}

fn clipped_joint() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "clipped-joint",
        "joint, with each probability kept within what the marginals and the path allow",
        |_, context| Ok(ClippedJoint::new(context.layer()?)),
    )
    .documented(Reference {
        item: "`ClippedJoint`",
        rule: "draws as `joint`, with each probability within its Fréchet bounds",
        law: "yes; with an exact layer at any K",
        source: "Fréchet bounds, on 2509.22738",
        ..Reference::default()
    })
}

fn verified() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "verified",
        "exact, with fewer forwards: the layer drafts k - 1 tokens, the next forward keeps or replaces them; \
         positions: exact, or any that the layer chose",
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
    .documented(Reference {
        item: "`VerifiedJoint`",
        rule: "draws as `exact`; the layer drafts `k` − 1 tokens, and the next forward keeps or replaces them",
        law: "yes, [with any layer](#verified-drafts)",
        source: "2211.17192 on 2509.22738, own",
        ..Reference::default()
    })
    .tested(
        Conformance::of(&["verified:3", "verified:3:any"]).moves_per_position(4).extra_forwards(),
    )
}

/// How sure the layer must be.
fn bound(values: &Values<'_>) -> Result<Bound, conjoint::Error> {
    let (entropy, confidence) =
        (values.given_number("entropy")?, values.given_number("confidence")?);
    match (entropy, confidence) {
        (Some(_), Some(confidence)) => {
            let expected = "either `entropy` or `confidence`, not both".to_owned();
            Err(invalid("confidence", &confidence.to_string(), expected))
        }
        (None, Some(confidence)) => Ok(Bound::Confidence(confidence)),
        (entropy, None) => Ok(Bound::Entropy(entropy.unwrap_or(1.0))),
    }
}
