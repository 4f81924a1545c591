//! Published strategies by one name, with the policy and the reviser of their papers.

use conjoint::influence::GiniBound;
use conjoint::policy::Demask;
use conjoint::prelude::*;
use conjoint::reviser::Edit;
use conjoint::strategy::{self, Strategy};
use conjoint::unmasker::{PathPlanning, ReMdm};

use super::score;
use crate::Error;
use crate::registry::revisers::remdm;
use crate::registry::schedules::{dilated, hierarchical, klass, local_leap, origin, slow_fast};
use crate::registry::spec::Values;
use crate::registry::{Context, HowMany, Part, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    let mut entries = with_a_policy();
    entries.extend(with_a_reviser());
    entries
}

/// Those that choose how many tokens go together, and never take one back.
fn with_a_policy() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "origin",
            "Dream: each position by a coin of its own; needs a schedule of so many steps",
            |values, context| together(origin(values, context.steps()?)?),
        )
        .parameter("epsilon", "0.001")
        .how_many(HowMany::Steps),
        UnmaskerEntry::new(
            "klass",
            "KLASS: all that are sure and settled, else what the schedule wants",
            |values, context| {
                Ok(strategy::klass(klass(values)?.otherwise(context.schedule())))
            },
        )
        .parameter("tau", "0.9")
        .parameter("epsilon", "0.01")
        .parameter("stable", "2")
        .how_many(HowMany::Schedule),
        UnmaskerEntry::new(
            "slow-fast",
            "SlowFast: explore for some steps until a span is stable, then fill it",
            |values, _| Ok(strategy::slow_fast(slow_fast(values)?)),
        )
        .parameter("steps", "6")
        .parameter("span", "0.3")
        .parameter("fill", "0.9"),
        UnmaskerEntry::new(
            "demask",
            "DEMASK's choice: together what is off by less than this, going by the rows alone",
            demask,
        )
        .parameter("bound", "0.1")
        .takes([Part::Order]),
        UnmaskerEntry::new(
            "dilated",
            "DUS: positions far apart together, then those between them",
            |values, _| together(dilated(values)?),
        )
        .parameter("base", "2"),
        UnmaskerEntry::new(
            "local-leap",
            "LocalLeap: near a sure position, less confidence suffices",
            |values, _| Ok(strategy::local_leap(local_leap(values)?)),
        )
        .parameter("anchor", "0.9")
        .parameter("near", "0.75")
        .parameter("reach", "4"),
        UnmaskerEntry::new(
            "hierarchical",
            "dInfer's hierarchical decoding: one position in every run of masks, and all that are sure",
            |values, _| Ok(strategy::hierarchical(hierarchical(values)?)),
        )
        .parameter("tau", "0.9")
        .parameter("low", "0.4"),
    ]
}

/// Those that take tokens back.
fn with_a_reviser() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "wino",
            "WINO: reveal boldly, mask again what looks doubtful without itself",
            |values, _| Ok(strategy::wino(values.number("reveal")?, values.number("keep")?)?),
        )
        .parameter("reveal", "0.6")
        .parameter("keep", "0.9"),
        UnmaskerEntry::new(
            "remdm",
            "ReMDM, rule cap (eta 0.008), rescale (eta 0.015) or conf (no eta); needs a schedule of so many steps",
            |values, _| remdm(values, ReMdm::conf, ReMdm::rescale, ReMdm::cap),
        )
        .parameter("rule", "cap")
        .open("eta")
        .how_many(HowMany::Steps),
        UnmaskerEntry::new(
            "remdm-loop",
            "ReMDM's loop: a draft, rounds of revision, then the rest",
            |values, _| {
                let number = |name| values.number(name);
                let (on, off) = (number("on")?, number("off")?);
                Ok(ReMdm::looping(number("eta")?, on, off, number("alpha")?)?)
            },
        )
        .parameter("eta", "0.02")
        .parameter("on", "0.55")
        .parameter("off", "0.05")
        .parameter("alpha", "0.9")
        .how_many(HowMany::Steps),
        UnmaskerEntry::new(
            "rcr",
            "running confidence: mask the least confident of all; score raw or filtered",
            |values, _| Ok(strategy::rcr(score(values)?)),
        )
        .parameter("score", "filtered")
        .how_many(HowMany::Schedule),
        UnmaskerEntry::new(
            "p2",
            "path planning: mask the least probable of all; needs a schedule of so many steps",
            |values, _| Ok(PathPlanning::new(values.number("eta")?)?),
        )
        .parameter("eta", "1")
        .how_many(HowMany::Steps),
        UnmaskerEntry::new(
            "edit",
            "LLaDA2.1: reveal above one threshold, replace above another, go on when full",
            |values, _| {
                let edit = Edit::new(values.number("edit")?)?;
                let edit = edit.post_steps(values.count("post-steps")?);
                Ok(strategy::edit_threshold(values.number("reveal")?, edit)?)
            },
        )
        .parameter("reveal", "0.7")
        .parameter("edit", "0.5")
        .parameter("post-steps", "16"),
        UnmaskerEntry::new(
            "saber",
            "Saber: at least so many of those surer than the ones before, then mask again what lost confidence",
            |values, _| Ok(strategy::saber(values.count("least")?)?),
        )
        .parameter("least", "2"),
    ]
}

/// Independent draws where a policy says.
fn together(policy: impl conjoint::policy::DynPolicy) -> Result<Strategy, Error> {
    Ok(Strategy::new(Marginal::default()).policy(policy))
}

fn demask(values: &Values<'_>, context: &Context) -> Result<Strategy, Error> {
    let demask = Demask::new(GiniBound, values.number("bound")?)?;
    // Without an order the positions of lowest entropy join first, as with every other strategy of the command.
    together(demask.order(context.order().unwrap_or_else(|| std::sync::Arc::new(Entropy))))
}
