//! Policies: how many tokens a step reveals, and where. They take no order.

use conjoint::influence::GiniBound;
use conjoint::policy::{BlockStates, Demask, Saber};
use conjoint::prelude::*;

use super::parameters::{dilated, hierarchical, klass, local_leap, origin, slow_fast, steps};
use crate::registry::{Conformance, Reference, ScheduleEntry};

pub fn entries() -> Vec<ScheduleEntry> {
    vec![
        klass_entry(),
        demask_entry(),
        slow_fast_entry(),
        dilated_entry(),
        origin_entry(),
        local_leap_entry(),
        hierarchical_entry(),
        saber_entry(),
        block_states_entry(),
    ]
}

fn klass_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "klass",
        "policy: KLASS, all positions that are confident and stable, else the most confident one",
        |values| Ok(klass(values)?),
    )
    .parameter("tau", "0.9")
    .parameter("epsilon", "0.01")
    .parameter("stable", "2")
    .documented(Reference {
        item: "`Klass`",
        rule: "every position with c > `tau` whose row changed by KL(pₜ ‖ pₜ₋₁) < `epsilon` in each of the last `stable` \
               steps; if none qualifies, as many of the most confident as a fallback schedule says (default: 1)",
        law: "`tau` = 1: the fallback by confidence, exact at 1 a step",
        source: "KLASS 2511.05664",
        ..Reference::default()
    })
    .tested(Conformance::of(&["klass:0.3:1:1"]))
}

fn demask_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "demask",
        "policy: DEMASK, positions whose influences on each other sum to less than bound, estimated from the rows alone",
        |values| Ok(Demask::new(GiniBound, values.number("bound")?)?.order(Entropy)),
    )
    .parameter("bound", "0.1")
    .documented(Reference {
        item: "`Demask`",
        rule: "the first position of an order, then each further one that keeps the sum of the influences between selected positions \
               below `bound`",
        law: "exact at `bound` = 0; otherwise a step is within `bound` of the joint in total variation, with `GiniBound` or with \
              true influences that are sub-additive",
        source: "DEMASK 2604.02560",
        ..Reference::default()
    })
    .tested(Conformance::of(&["demask:2"]))
}

fn slow_fast_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "slow-fast",
        "policy: SlowFast, find the end of a span in slow steps, then fill the span",
        |values| Ok(slow_fast(values)?),
    )
    .parameter("steps", "6")
    .parameter("span", "0.3")
    .parameter("fill", "0.9")
    .documented(Reference {
        item: "`SlowFast`",
        rule: "alternates `steps` slow steps, which find the end of a span (the last position with c ≥ `span`), and fast steps, \
               which fill that span; each step reveals all positions in scope with c ≥ `fill`, and always the best one",
        law: "exact at `fill` = 1",
        source: "2506.10848",
        ..Reference::default()
    })
    .tested(Conformance::of(&["slow-fast:2:0.3:0.4"]))
}

fn dilated_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "dilated",
        "policy: DUS, positions far apart together, then those between them",
        |values| Ok(dilated(values)?),
    )
    .parameter("base", "2")
    .documented(Reference {
        item: "`Dilated`",
        rule: "groups of positions far apart, then those between them: about log_a B steps for a block of B, a being \
               `base`",
        law: "exact where the positions of a group are independent given the earlier groups",
        source: "DUS 2506.19037",
        ..Reference::default()
    })
}

fn origin_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "origin",
        "policy: Dream's origin, each position in a step drawn independently",
        |values| Ok(origin(values, steps(values)?)?),
    )
    .required("steps")
    .parameter("epsilon", "0.001")
    .documented(Reference {
        item: "`Origin`",
        rule: "each position in a step that is drawn independently when its block begins",
        law: "for two positions: (1 − q) joint + q product of marginals, where q is the probability that they share a step",
        source: "Dream; 2406.07524",
        ..Reference::default()
    })
    .tested(Conformance::of(&["origin:8"]))
}

fn local_leap_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "local-leap",
        "policy: LocalLeap, near a sure position less confidence suffices",
        |values| Ok(local_leap(values)?),
    )
    .parameter("anchor", "0.9")
    .parameter("near", "0.75")
    .parameter("reach", "4")
    .documented(Reference {
        item: "`LocalLeap`",
        rule: "c ≥ `near` within `reach` positions of one with c ≥ `anchor`, and the best one",
        law: "exact at `anchor` = `near` = 1",
        source: "2510.07081",
        ..Reference::default()
    })
    .tested(Conformance::of(&["local-leap:0.5:0.3:2"]))
}

fn hierarchical_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "hierarchical",
        "policy: dInfer, one position in every run of masks, and all that are sure",
        |values| Ok(hierarchical(values)?),
    )
    .parameter("tau", "0.9")
    .parameter("low", "0.4")
    .documented(Reference {
        item: "`Hierarchical`",
        rule: "the best of every run of masks if c > `low`, all with c > `tau`, and the best of the block",
        law: "exact at `tau` = `low` = 1",
        source: "dInfer",
        ..Reference::default()
    })
    .tested(Conformance::of(&["hierarchical:0.6:0.3"]))
}

fn saber_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "saber",
        "policy: Saber, positions of above-average confidence, at least `least` positions",
        |values| Ok(Saber::new(values.count("least")?)?),
    )
    .parameter("least", "2")
    .documented(Reference {
        item: "`Saber`",
        rule: "every position with c above the mean confidence of all positions revealed so far; at least `least` positions, the most \
               confident first",
        law: "none claimed",
        source: "Saber 2510.18165",
        ..Reference::default()
    })
}

fn block_states_entry() -> ScheduleEntry {
    ScheduleEntry::policy(
        "block-states",
        "policy: d3LLM, entropy of at most theta nats in all open blocks, and progress in the first; for `open next block`",
        |values| Ok(BlockStates::new(values.number("theta")?, values.number("full")?)?),
    )
    .parameter("theta", "0.4")
    .parameter("full", "0.95")
    .documented(Reference {
        item: "`BlockStates`",
        rule: "every position of the open blocks with H ≤ `theta`, and the one of lowest H; at least one in the first active block. A \
               block is active once the share `full` of the block before it is known",
        law: "exact at `theta` = 0 with one block",
        source: "d3LLM",
        ..Reference::default()
    })
    .tested(Conformance::of(&["block-states:0.8:0.5"]))
}
