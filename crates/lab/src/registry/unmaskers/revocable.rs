//! Strategies that take tokens back.

use conjoint::unmasker::{EditThreshold, PathPlanning, Rcr, ReMdm, Wino};

use super::score;
use crate::Error;
use crate::registry::spec::{Values, refused};
use crate::registry::{Portions, UnmaskerEntry};

pub fn entries() -> Vec<UnmaskerEntry> {
    vec![
        UnmaskerEntry::new(
            "wino",
            "WINO: reveal boldly, mask again what looks doubtful without itself",
            |values, _| Ok(Wino::new(values.number("reveal")?, values.number("keep")?)?),
        )
        .parameter("reveal", "0.6")
        .parameter("keep", "0.9"),
        UnmaskerEntry::new(
            "remdm",
            "ReMDM, rule cap (eta 0.008), rescale (eta 0.015) or conf (no eta); needs a schedule of so many steps",
            |values, _| remdm(values),
        )
        .parameter("rule", "cap")
        .open("eta")
        .portions(Portions::Steps),
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
        .portions(Portions::Steps),
        UnmaskerEntry::new(
            "rcr",
            "running confidence: mask the least confident of all; score raw or filtered",
            |values, _| Ok(Rcr::new(score(values)?)),
        )
        .parameter("score", "filtered")
        .portions(Portions::Schedule),
        UnmaskerEntry::new(
            "p2",
            "path planning: mask the least probable of all; needs a schedule of so many steps",
            |values, _| Ok(PathPlanning::new(values.number("eta")?)?),
        )
        .parameter("eta", "1")
        .portions(Portions::Steps),
        UnmaskerEntry::new(
            "edit",
            "LLaDA2.1: reveal above one threshold, replace above another, go on when full",
            |values, _| {
                let strategy =
                    EditThreshold::new(values.number("reveal")?, values.number("edit")?)?;
                Ok(strategy.post_steps(values.count("post-steps")?))
            },
        )
        .parameter("reveal", "0.7")
        .parameter("edit", "0.5")
        .parameter("post-steps", "16"),
    ]
}

fn remdm(values: &Values<'_>) -> Result<ReMdm, Error> {
    let rule = values.choice("rule", &["cap", "rescale", "conf"])?;
    Ok(match (rule, values.given_number("eta")?) {
        ("conf", None) => ReMdm::conf(),
        ("conf", Some(eta)) => {
            let expected = "nothing: rule conf has no eta".to_owned();
            return Err(refused("eta", &eta.to_string(), expected).into());
        }
        ("rescale", eta) => ReMdm::rescale(eta.unwrap_or(0.015))?,
        (_, eta) => ReMdm::cap(eta.unwrap_or(0.008))?,
    })
}
