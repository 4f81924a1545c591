//! Strategies that need only the model, a schedule and an order.

use conjoint::prelude::*;
use conjoint::unmasker::{DraftedSteps, DynUnmasker, Unmasker};

use super::score::score;
use crate::Error;
use crate::registry::spec::Values;
use crate::registry::{Conformance, HowMany, Part, Reference, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![exact(), marginal(), confidence()]
}

fn exact() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "exact",
        "draw one token per forward: the model's own joint distribution",
        |_, _| Ok(ExactSequential::default()),
    )
    .how_many(HowMany::One)
    .takes([Part::Order])
    .documented(Reference {
        item: "`ExactSequential`",
        rule: "draws one token a step",
        law: "yes",
        ..Reference::default()
    })
}

fn marginal() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "marginal",
        "draw the selected positions independently; drafts: further steps to verify in the same forward",
        |values, _| with_drafts(Marginal::default(), values),
    )
    .open("drafts")
    .how_many(HowMany::Schedule)
    .takes([Part::Order])
    .documented(Reference {
        item: "`Marginal`",
        rule: "draws each selected position on its own; `drafts`: further steps that the same forward verifies, with the same \
               tokens (`DraftedSteps`; default: none)",
        law: "yes",
        source: "every masked diffusion model; drafts: FreeDave 2510.00294",
        ..Reference::default()
    })
}

fn confidence() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "confidence",
        "draw every position, keep the most confident (LLaDA, MaskGIT); score: raw or filtered; temperature: Dream's alg_temp; \
         drafts: further steps to verify in the same forward",
        |values, _| {
            let best = Confidence::new(score(values)?);
            let best = match values.given_number("temperature")? {
                None => best,
                Some(temperature) => best.plackett_luce(temperature)?,
            };
            with_drafts(best, values)
        },
    )
    .parameter("score", "raw")
    .open("temperature")
    .open("drafts")
    .how_many(HowMany::Schedule)
    .documented(Reference {
        item: "`Confidence`",
        rule: "drafts all positions before the policy selects, and keeps the selected ones; `temperature` draws those from \
               softmax(score / `temperature`) (default: the best); `drafts` as for `marginal`",
        law: "no, under policies that use c, including the default: the position then depends on the drawn token",
        source: "MaskGIT 2202.04200, LLaDA 2502.09992",
        ..Reference::default()
    })
    .tested(Conformance::of(&["confidence:raw", "confidence:filtered"]))
}

/// The unmasker, with drafts of further steps if they are given.
fn with_drafts(
    inner: impl Unmasker + Clone + 'static,
    values: &Values<'_>,
) -> Result<Box<dyn DynUnmasker>, Error> {
    Ok(match values.given_count("drafts")? {
        None => inner.boxed(),
        Some(drafts) => DraftedSteps::new(inner, drafts)?.boxed(),
    })
}
