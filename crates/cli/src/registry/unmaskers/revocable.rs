//! Strategies that take tokens back.

use conjoint::unmasker::{EditThreshold, PathPlanning, Rcr, ReMdm, Wino};

use super::{Named, score};
use crate::registry::spec::refused;
use crate::registry::table::{Entry, Parameter};

pub static WINO: Named = Entry {
    name: "wino",
    summary: "WINO: reveal boldly, mask again what looks doubtful without itself",
    parameters: &[Parameter::new("reveal", "0.6"), Parameter::new("keep", "0.9")],
    make: |values, _| Ok(Box::new(Wino::new(values.number("reveal")?, values.number("keep")?)?)),
};

pub static REMDM: Named = Entry {
    name: "remdm",
    summary: "ReMDM, rule cap (eta 0.008), rescale (eta 0.015) or conf (no eta); needs a schedule of so many steps",
    parameters: &[Parameter::new("rule", "cap"), Parameter::open("eta")],
    make: |values, _| {
        let rule = values.choice("rule", &["cap", "rescale", "conf"])?;
        Ok(Box::new(match (rule, values.given_number("eta")?) {
            ("conf", None) => ReMdm::conf(),
            ("conf", Some(eta)) => {
                let expected = "nothing: rule conf has no eta".to_owned();
                return Err(refused("eta", &eta.to_string(), expected).into());
            }
            ("rescale", eta) => ReMdm::rescale(eta.unwrap_or(0.015))?,
            (_, eta) => ReMdm::cap(eta.unwrap_or(0.008))?,
        }))
    },
};

pub static REMDM_LOOP: Named = Entry {
    name: "remdm-loop",
    summary: "ReMDM's loop: a draft, rounds of revision, then the rest",
    parameters: &[
        Parameter::new("eta", "0.02"),
        Parameter::new("on", "0.55"),
        Parameter::new("off", "0.05"),
        Parameter::new("alpha", "0.9"),
    ],
    make: |values, _| {
        let number = |name| values.number(name);
        let strategy =
            ReMdm::looping(number("eta")?, number("on")?, number("off")?, number("alpha")?)?;
        Ok(Box::new(strategy))
    },
};

pub static RCR: Named = Entry {
    name: "rcr",
    summary: "running confidence: mask the least confident of all; score raw or filtered",
    parameters: &[Parameter::new("score", "filtered")],
    make: |values, _| Ok(Box::new(Rcr::new(score(values)?))),
};

pub static P2: Named = Entry {
    name: "p2",
    summary: "path planning: mask the least probable of all; needs a schedule of so many steps",
    parameters: &[Parameter::new("eta", "1")],
    make: |values, _| Ok(Box::new(PathPlanning::new(values.number("eta")?)?)),
};

pub static EDIT: Named = Entry {
    name: "edit",
    summary: "LLaDA2.1: reveal above one threshold, replace above another, go on when full",
    parameters: &[
        Parameter::new("reveal", "0.7"),
        Parameter::new("edit", "0.5"),
        Parameter::new("post-steps", "16"),
    ],
    make: |values, _| {
        let strategy = EditThreshold::new(values.number("reveal")?, values.number("edit")?)?;
        Ok(Box::new(strategy.post_steps(values.count("post-steps")?)))
    },
};
