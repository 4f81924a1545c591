//! Published strategies that bring a policy of their own and keep every token that they reveal.

use conjoint::influence::GiniBound;
use conjoint::policy::{Demask, DynPolicy};
use conjoint::prelude::*;
use conjoint::strategy::{self, Strategy};

use crate::Error;
use crate::registry::schedules::parameters::{
    dilated, hierarchical, klass, local_leap, origin, slow_fast,
};
use crate::registry::{Conformance, HowMany, Part, Reference, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![
        origin_entry(),
        klass_entry(),
        slow_fast_entry(),
        demask_entry(),
        dilated_entry(),
        local_leap_entry(),
        hierarchical_entry(),
    ]
}

fn origin_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "origin",
        "Dream: each position is revealed in a step drawn independently; needs a schedule with a total number of steps",
        |values, context| marginal_with(origin(values, context.steps()?)?),
    )
    .parameter("epsilon", "0.001")
    .how_many(HowMany::Steps)
    .documented(Reference {
        item: "`Origin` with `Marginal`",
        rule: "policy `Origin` with the schedule's number of steps; unmasker `Marginal`",
        source: "Dream; 2406.07524",
        ..Reference::default()
    })
}

fn klass_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "klass",
        "KLASS: reveal all positions that are confident and stable, else as many as the schedule says",
        |values, context| Ok(strategy::klass(klass(values)?.fallback(context.schedule()))),
    )
    .parameter("tau", "0.9")
    .parameter("epsilon", "0.01")
    .parameter("stable", "2")
    .how_many(HowMany::Schedule)
    .documented(Reference {
        item: "`strategy::klass`",
        rule: "policy `Klass`, which falls back to the schedule; unmasker `Confidence` (filtered)",
        source: "KLASS 2511.05664",
        ..Reference::default()
    })
    .tested(Conformance::of(&["klass:0.3:1:1"]))
}

fn slow_fast_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "slow-fast",
        "SlowFast: find the end of a span in slow steps, then fill the span",
        |values, _| Ok(strategy::slow_fast(slow_fast(values)?)),
    )
    .parameter("steps", "6")
    .parameter("span", "0.3")
    .parameter("fill", "0.9")
    .documented(Reference {
        item: "`strategy::slow_fast`",
        rule: "policy `SlowFast`, unmasker `Confidence` (raw)",
        source: "2506.10848",
        ..Reference::default()
    })
    .tested(Conformance::of(&["slow-fast:2:0.3:0.5"]))
}

fn demask_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "demask",
        "DEMASK: reveal positions together whose influences sum to less than bound, estimated from the rows alone",
        |values, context| {
            let demask = Demask::new(GiniBound, values.number("bound")?)?;
            // The command's default is the lowest entropy first, as for every other strategy.
            let order = context.order().unwrap_or_else(|| std::sync::Arc::new(Entropy));
            marginal_with(demask.order(order))
        },
    )
    .parameter("bound", "0.1")
    .takes([Part::Order])
    .documented(Reference {
        item: "`Demask` with `Marginal`",
        rule: "policy `Demask` with `GiniBound`, unmasker `Marginal`",
        source: "DEMASK 2604.02560",
        ..Reference::default()
    })
    .tested(Conformance::of(&["demask:2"]))
}

fn dilated_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "dilated",
        "DUS: reveal positions far apart together, then those between them",
        |values, _| marginal_with(dilated(values)?),
    )
    .parameter("base", "2")
    .documented(Reference {
        item: "`Dilated` with `Marginal`",
        rule: "policy `Dilated`, unmasker `Marginal`",
        source: "DUS 2506.19037",
        ..Reference::default()
    })
    .tested(Conformance::of(&["dilated", "dilated:3"]))
}

fn local_leap_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "local-leap",
        "LocalLeap: near a sure position, less confidence suffices",
        |values, _| Ok(strategy::local_leap(local_leap(values)?)),
    )
    .parameter("anchor", "0.9")
    .parameter("near", "0.75")
    .parameter("reach", "4")
    .documented(Reference {
        item: "`strategy::local_leap`",
        rule: "policy `LocalLeap`, unmasker `Confidence` (raw)",
        source: "2510.07081",
        ..Reference::default()
    })
    .tested(Conformance::of(&["local-leap:0.5:0.3:2"]))
}

fn hierarchical_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "hierarchical",
        "dInfer's hierarchical decoding: reveal one position in every run of masks, and all that are sure",
        |values, _| Ok(strategy::hierarchical(hierarchical(values)?)),
    )
    .parameter("tau", "0.9")
    .parameter("low", "0.4")
    .documented(Reference {
        item: "`strategy::hierarchical`",
        rule: "policy `Hierarchical`, unmasker `Confidence` (raw); `--revise hierarchical` adds its reviser",
        source: "dInfer",
        ..Reference::default()
    })
    .tested(Conformance::of(&["hierarchical:0.6:0.3"]))
}

/// Independent draws at the positions that a policy selects.
fn marginal_with(policy: impl DynPolicy) -> Result<Strategy, Error> {
    Ok(Strategy::new(Marginal::default()).policy(policy))
}
