//! Schedules: how many tokens a step reveals.

use conjoint::prelude::*;
use conjoint::schedule::{EntropyBound, Factor, Linear, Threshold, WideThreshold};

use super::parameters::{LINEAR, PER_STEP, steps};
use crate::registry::{Conformance, Reference, ScheduleEntry};

pub fn entries() -> Vec<ScheduleEntry> {
    vec![
        per_step(),
        dream(),
        llada(),
        linear(),
        cosine(),
        cosine_floor(),
        threshold(),
        factor(),
        entropy_bound(),
        wide_threshold(),
    ]
}

fn per_step() -> ScheduleEntry {
    ScheduleEntry::new(PER_STEP, "K tokens a step", |values| {
        Ok(TokensPerStep::new(values.count("k")?)?)
    })
    .required("k")
    .documented(Reference {
        item: "`TokensPerStep`",
        rule: "`k`",
        law: "exact at `k` = 1",
        ..Reference::default()
    })
    .tested(Conformance::of(&["per-step:3"]))
}

fn dream() -> ScheduleEntry {
    ScheduleEntry::new("dream", "Dream's linear schedule with the floor rule", |values| {
        let schedule = DreamLinear::new(steps(values)?)?;
        Ok(schedule.with_epsilon(values.number("epsilon")?)?)
    })
    .required("steps")
    .parameter("epsilon", "0.001")
    .documented(Reference {
        item: "`DreamLinear`",
        rule: "⌊m (1 − tᵢ₊₁/tᵢ)⌋ of the m masked positions; t falls from 1 to `epsilon`",
        law: "early steps may reveal nothing",
        source: "Dream",
        ..Reference::default()
    })
    .tested(Conformance::of(&["dream:8"]))
}

fn llada() -> ScheduleEntry {
    ScheduleEntry::new("llada", "LLaDA's even split of each block", |values| {
        Ok(LladaEven::new(steps(values)?)?)
    })
    .required("steps")
    .documented(Reference {
        item: "`LladaEven`",
        rule: "⌊n / S_b⌋ for a block of n positions and S_b steps; the first steps reveal one more if it does not divide evenly",
        source: "LLaDA",
        ..Reference::default()
    })
    .tested(Conformance::of(&["llada:8"]))
}

fn linear() -> ScheduleEntry {
    ScheduleEntry::new(LINEAR, "the linear schedule, exact in total", |values| {
        Ok(Linear::new(steps(values)?)?)
    })
    .required("steps")
    .documented(Reference {
        item: "`Linear`",
        rule: "leaves ⌊n (1 − (i + 1)/S)⌋ masked",
        source: "2406.07524",
        ..Reference::default()
    })
    .tested(Conformance::of(&["linear:8"]))
}

fn cosine() -> ScheduleEntry {
    ScheduleEntry::new(
        "cosine",
        "MaskGIT's cosine schedule: few tokens at first, many at the end",
        |values| Ok(Cosine::new(steps(values)?)?),
    )
    .required("steps")
    .documented(Reference {
        item: "`Cosine`",
        rule: "leaves ⌊n cos(π/2 (i + 1)/S)⌋ masked",
        source: "MaskGIT 2202.04200",
        ..Reference::default()
    })
    .tested(Conformance::of(&["cosine:8"]))
}

fn cosine_floor() -> ScheduleEntry {
    ScheduleEntry::new("cosine-floor", "the cosine schedule with Dream's floor rule", |values| {
        Ok(Cosine::floor(steps(values)?)?)
    })
    .required("steps")
    .documented(Reference {
        item: "`Cosine::floor`",
        rule: "the cosine schedule by Dream's floor rule",
        law: "early steps may reveal nothing",
        source: "MaskGIT 2202.04200, Dream",
        ..Reference::default()
    })
    .tested(Conformance::of(&["cosine-floor:8"]))
}

fn threshold() -> ScheduleEntry {
    ScheduleEntry::new(
        "threshold",
        "Fast-dLLM: all positions with confidence of at least tau, and always the best one",
        |values| Ok(Threshold::new(values.number("tau")?)?),
    )
    .parameter("tau", "0.9")
    .documented(Reference {
        item: "`Threshold`",
        rule: "the leading run with c ≥ `tau`, at least 1",
        law: "exact at `tau` = 1",
        source: "Fast-dLLM 2505.22618",
        ..Reference::default()
    })
    .tested(Conformance::of(&["threshold:0.4"]))
}

fn factor() -> ScheduleEntry {
    ScheduleEntry::new(
        "factor",
        "Fast-dLLM: the more positions at once, the surer each must be",
        |values| Ok(Factor::new(values.number("f")?)?),
    )
    .parameter("f", "1")
    .documented(Reference {
        item: "`Factor`",
        rule: "the largest j with (j + 1)(1 − c₍ⱼ₎) ≤ `f`",
        law: "with argmax, `f` ≤ 1 and the most confident first: the most probable combination",
        source: "Fast-dLLM 2505.22618",
        ..Reference::default()
    })
}

fn entropy_bound() -> ScheduleEntry {
    ScheduleEntry::new(
        "entropy-bound",
        "EB-Sampler: as many positions as may depend on each other by at most gamma nats",
        |values| Ok(EntropyBound::new(values.number("gamma")?)?),
    )
    .parameter("gamma", "0.1")
    .documented(Reference {
        item: "`EntropyBound`",
        rule: "the largest k with Σ H − max H ≤ `gamma`",
        law: "KL to the joint of a step's positions ≤ `gamma`; exact at `gamma` = 0",
        source: "EB-Sampler 2505.24857",
        ..Reference::default()
    })
    .tested(Conformance::of(&["entropy-bound:1"]))
}

fn wide_threshold() -> ScheduleEntry {
    ScheduleEntry::new(
        "wide-threshold",
        "WINO: all positions of confidence above tau, at most 70 % of the masked ones, clamped to 5 … 20; for the reviser wino",
        |values| Ok(WideThreshold::new(values.number("tau")?)?),
    )
    .parameter("tau", "0.6")
    .documented(Reference {
        item: "`WideThreshold`",
        rule: "the number of positions with c > `tau`, at most ⌊0.7 m⌋ clamped to 5 … 20, at least 1",
        law: "exact at `tau` = 1",
        source: "WINO 2507.18578",
        ..Reference::default()
    })
    .tested(Conformance::of(&["wide-threshold:0.4"]))
}
