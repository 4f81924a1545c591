//! Published strategies that remask or replace tokens.

use conjoint::reviser::Edit;
use conjoint::strategy;
use conjoint::unmasker::{PathPlanning, ReMdm};

use super::score::score;
use crate::registry::revisers::remdm;
use crate::registry::{Conformance, HowMany, Reference, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![wino(), remdm_entry(), remdm_loop(), rcr(), p2(), edit(), saber()]
}

fn wino() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "wino",
        "WINO: reveal boldly, remask tokens that look doubtful once they are hidden",
        |values, _| Ok(strategy::wino(values.number("reveal")?, values.number("keep")?)?),
    )
    .parameter("reveal", "0.6")
    .parameter("keep", "0.9")
    .documented(Reference {
        item: "`strategy::wino`",
        rule: "order by c with `WideThreshold`; unmasker `Confidence` (raw); reviser `Wino`",
        source: "WINO 2507.18578",
        ..Reference::default()
    })
    .tested(Conformance::of(&["wino", "wino:0.2:1"]).extra_forwards())
}

fn remdm_entry() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "remdm",
        "ReMDM; rule: cap (eta 0.008), rescale (eta 0.015) or conf (no eta); needs a schedule with a total number of steps",
        |values, _| remdm(values, ReMdm::conf, ReMdm::rescale, ReMdm::cap),
    )
    .parameter("rule", "cap")
    .open("eta")
    .how_many(HowMany::Steps)
    .documented(Reference {
        item: "`ReMdm`",
        rule: "reveals masked positions and remasks revealed ones, each by an independent draw; the probability σ of remasking is \
               min(`eta`, σ_max) for `cap` (`eta` 0.008), `eta` σ_max for `rescale` (`eta` 0.015)",
        law: "no; in the limit S → ∞ with σ = 0",
        source: "ReMDM 2503.00307",
        ..Reference::default()
    })
    .tested(Conformance::default().moves_per_position(4).extra_forwards())
}

fn remdm_loop() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "remdm-loop",
        "ReMDM's loop: a draft, rounds of revision, then the rest; needs a schedule with a total number of steps",
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
    .how_many(HowMany::Steps)
    .documented(Reference {
        item: "`ReMdm::looping`",
        rule: "as `remdm` in a loop: σ = min(`eta`, σ_max) while `off` < t ≤ `on`, with a constant α = `alpha`",
        law: "no; in the limit S → ∞ with σ = 0",
        source: "ReMDM 2503.00307",
        ..Reference::default()
    })
    .tested(Conformance::default().moves_per_position(4).extra_forwards())
}

fn rcr() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "rcr",
        "running confidence remasking: keep the most confident of old and new tokens; score: raw or filtered",
        |values, _| Ok(strategy::rcr(score(values)?)),
    )
    .parameter("score", "filtered")
    .how_many(HowMany::Schedule)
    .documented(Reference {
        item: "`strategy::rcr`",
        rule: "order by c with the schedule; unmasker `Confidence` (filtered); reviser `Rcr`",
        source: "RCR, MDPO 2508.13148",
        ..Reference::default()
    })
    .tested(Conformance::of(&["rcr:raw", "rcr:filtered"]))
}

fn p2() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "p2",
        "path planning: mask the least probable of old and new tokens; needs a schedule with a total number of steps",
        |values, _| Ok(PathPlanning::new(values.number("eta")?)?),
    )
    .parameter("eta", "1")
    .how_many(HowMany::Steps)
    .documented(Reference {
        item: "`PathPlanning`",
        rule: "draws everywhere, and masks the least probable of old and new tokens",
        law: "no",
        source: "P2 2502.03540",
        ..Reference::default()
    })
    .tested(Conformance::default().moves_per_position(4).extra_forwards())
}

fn edit() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "edit",
        "LLaDA2.1: reveal above one threshold, replace above another, in a full block for up to post-steps steps",
        |values, _| {
            let edit = Edit::new(values.number("edit")?)?;
            let edit = edit.post_steps(values.count("post-steps")?);
            Ok(strategy::edit_threshold(values.number("reveal")?, edit)?)
        },
    )
    .parameter("reveal", "0.7")
    .parameter("edit", "0.5")
    .parameter("post-steps", "16")
    .documented(Reference {
        item: "`strategy::edit_threshold`",
        rule: "order by c with `Threshold::above`; unmasker `Confidence` (filtered); reviser `Edit`",
        source: "LLaDA2.1 2602.08676",
        ..Reference::default()
    })
    // A full block of one position is open for 16 more steps.
    .tested(
        Conformance::of(&["edit:0.3:0", "edit:0.3:0.5", "edit:0.3:1"])
            .moves_per_position(17)
            .extra_forwards(),
    )
}

fn saber() -> UnmaskerEntry {
    UnmaskerEntry::new(
        "saber",
        "Saber: reveal positions of above-average confidence, at least `least` positions, then remask those whose confidence rose least",
        |values, _| Ok(strategy::saber(values.count("least")?)?),
    )
    .parameter("least", "2")
    .documented(Reference {
        item: "`strategy::saber`",
        rule: "policy `Saber`, unmasker `Confidence` (raw), reviser `Saber`",
        source: "Saber 2510.18165",
        ..Reference::default()
    })
    .tested(Conformance::default().moves_per_position(64).extra_forwards())
}
