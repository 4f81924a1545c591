use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use conjoint::Autoregressive;
use conjoint::guidance::ClassifierFree;
use conjoint::influence::GiniBound;
use conjoint::prelude::*;
use conjoint::unmasker::{
    AdaptiveJoint, Bound, ClippedJoint, Copula, Demask, Dilated, EditThreshold, EnergyResampling,
    Klass, Origin, PathPlanning, PrefixAcceptance, Rcr, ReMdm, SlowFast, Strategy, Wino,
};

use super::ScheduleName;
use super::table::{self, Entry, Parameter, Spec, Values};
use crate::flag::BadFlag;
use crate::model::Model;

/// How tokens are revealed in a step, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmaskerName(Spec);

/// What strategies are made of beside their parameters.
pub struct Context {
    pub model: Arc<Model>,
    /// The model under guidance, which its sampler layer is to be under too.
    pub guided: ClassifierFree<Arc<OnnxDenoiser>>,
    pub order: Arc<dyn Order>,
    pub schedule: ScheduleName,
    pub scorer: Option<Arc<dyn Autoregressive>>,
    /// Whether the most probable token is taken instead of drawing one.
    pub greedy: bool,
}

impl Context {
    fn layer(&self) -> Result<impl SamplerLayer + 'static> {
        Ok(self.guided.sampler_layer(self.model.sampler_layer()?))
    }

    fn scorer(&self) -> Result<Arc<dyn Autoregressive>> {
        self.scorer.clone().context("this strategy needs an autoregressive scorer: give --scorer")
    }
}

/// What decides how many tokens a strategy reveals in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portions {
    /// Always one.
    One,
    /// The schedule.
    Schedule,
    /// The strategy itself, over a total number of steps that it takes from the schedule.
    Steps,
    /// The strategy alone.
    Own,
}

impl UnmaskerName {
    /// What decides how many tokens it reveals in a step.
    pub fn portions(&self) -> Portions {
        match self.0.name {
            "exact" => Portions::One,
            "origin" | "remdm" | "remdm-loop" | "p2" => Portions::Steps,
            "demask" | "dilated" | "edit" | "prefix-acceptance" | "slow-fast" | "wino" => {
                Portions::Own
            }
            _ => Portions::Schedule,
        }
    }

    /// Whether it runs the sampler layer.
    pub fn refines(&self) -> bool {
        matches!(self.0.name, "adaptive-joint" | "clipped-joint" | "joint")
    }

    /// Makes the strategy; a bad parameter is blamed on `flag`.
    pub fn make(&self, flag: &'static str, context: &Context) -> Result<Box<dyn Strategy>> {
        table::make(&self.0, TABLE, context).map_err(|error| {
            match error.downcast::<conjoint::Error>() {
                Ok(refused) => BadFlag::new(flag, &self.0, refused).into(),
                Err(other) => other,
            }
        })
    }
}

impl std::fmt::Display for UnmaskerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for UnmaskerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(table::parse(text, TABLE)?))
    }
}

/// The table for help.
pub fn unmaskers() -> String {
    table::list(TABLE)
}

const TABLE: &[Entry<Box<dyn Strategy>, Context>] = &[
    Entry {
        name: "exact",
        summary: "one token a forward: the model's own joint distribution",
        parameters: &[],
        make: |_, context| {
            if context.schedule.is_per_step() && !context.schedule.is_one_per_step() {
                let reason = "`exact` reveals one token a forward; take `marginal` or `joint`";
                return Err(BadFlag::new("--schedule", &context.schedule, reason).into());
            }
            Ok(Box::new(ExactSequential::new(context.order.clone())))
        },
    },
    Entry {
        name: "marginal",
        summary: "several independent draws a forward",
        parameters: &[],
        make: |_, context| Ok(Box::new(Marginal::new(context.order.clone()))),
    },
    Entry {
        name: "confidence",
        summary: "draw everywhere, keep the most confident (LLaDA, MaskGIT); score raw or filtered",
        parameters: &[Parameter::new("score", "raw")],
        make: |values, _| Ok(Box::new(Confidence::new(score(values)?))),
    },
    Entry {
        name: "joint",
        summary: "one full forward, then a sampler pass before each further token; window w looks at w · K rows",
        parameters: &[Parameter::new("window", "0")],
        make: |values, context| {
            let strategy = LearnedJoint::new(context.layer()?).order(context.order.clone());
            Ok(Box::new(match values.count("window")? {
                0 => strategy,
                w => strategy.window(w)?,
            }))
        },
    },
    Entry {
        name: "adaptive-joint",
        summary: "joint for as long as the layer's entropy is at most this, in nats, up to the schedule",
        parameters: &[Parameter::new("entropy", "1")],
        make: |values, context| {
            let bound = Bound::Entropy(values.number("entropy")?);
            let strategy = AdaptiveJoint::new(context.layer()?, bound)?;
            Ok(Box::new(strategy.order(context.order.clone())))
        },
    },
    Entry {
        name: "clipped-joint",
        summary: "joint, each probability kept within what the marginals and the path allow",
        parameters: &[],
        make: |_, context| {
            Ok(Box::new(ClippedJoint::new(context.layer()?).order(context.order.clone())))
        },
    },
    Entry {
        name: "energy",
        summary: "EDLM: draw several completions, keep one by how likely --scorer finds it",
        parameters: &[Parameter::new("completions", "2")],
        make: |values, context| {
            let strategy = EnergyResampling::new(context.scorer()?);
            let strategy = strategy.completions(values.count("completions")?)?;
            Ok(Box::new(strategy.order(context.order.clone())))
        },
    },
    Entry {
        name: "copula",
        summary: "DCD: the marginals, tied together left to right by --scorer",
        parameters: &[Parameter::new("alpha", "1")],
        make: |values, context| {
            Ok(Box::new(Copula::new(context.scorer()?).alpha(values.number("alpha")?)?))
        },
    },
    Entry {
        name: "prefix-acceptance",
        summary: "APD: the longest drafted prefix that --scorer, mixed in, would draw too",
        parameters: &[Parameter::new("r", "0.7"), Parameter::new("window", "100")],
        make: |values, context| {
            let strategy = PrefixAcceptance::new(context.scorer()?);
            let strategy = strategy.mixture(values.number("r")?)?;
            let strategy = strategy.window(values.count("window")?)?;
            Ok(Box::new(if context.greedy { strategy.greedy() } else { strategy }))
        },
    },
    Entry {
        name: "origin",
        summary: "Dream: each position by a coin of its own; needs a schedule of so many steps",
        parameters: &[Parameter::new("epsilon", "0.001")],
        make: |values, _| Ok(Box::new(Origin::new(values.number("epsilon")?)?)),
    },
    Entry {
        name: "klass",
        summary: "KLASS: all that are sure and settled, else what the schedule wants",
        parameters: &[
            Parameter::new("tau", "0.9"),
            Parameter::new("epsilon", "0.01"),
            Parameter::new("stable", "2"),
        ],
        make: |values, _| {
            let (tau, epsilon) = (values.number("tau")?, values.number("epsilon")?);
            Ok(Box::new(Klass::new(tau, epsilon, values.count("stable")?)?))
        },
    },
    Entry {
        name: "slow-fast",
        summary: "SlowFast: explore until a span is stable, then fill it",
        parameters: &[],
        make: |_, _| Ok(Box::new(SlowFast::default())),
    },
    Entry {
        name: "demask",
        summary: "DEMASK's choice: together what is off by less than this, going by the rows alone",
        parameters: &[Parameter::new("bound", "0.1")],
        make: |values, context| {
            let strategy = Demask::new(GiniBound, values.number("bound")?)?;
            Ok(Box::new(strategy.order(context.order.clone())))
        },
    },
    Entry {
        name: "dilated",
        summary: "DUS: positions far apart together, then those between them",
        parameters: &[Parameter::new("base", "2")],
        make: |values, _| Ok(Box::new(Dilated::new(values.count("base")?)?)),
    },
    Entry {
        name: "wino",
        summary: "WINO: reveal boldly, mask again what looks doubtful without itself",
        parameters: &[Parameter::new("reveal", "0.6"), Parameter::new("keep", "0.9")],
        make: |values, _| {
            Ok(Box::new(Wino::new(values.number("reveal")?, values.number("keep")?)?))
        },
    },
    Entry {
        name: "remdm",
        summary: "ReMDM, rule cap, rescale or conf; needs a schedule of so many steps",
        parameters: &[Parameter::new("rule", "cap"), Parameter::new("eta", "0.008")],
        make: |values, _| {
            let eta = values.number("eta")?;
            Ok(Box::new(match values.choice("rule", &["cap", "rescale", "conf"])? {
                "rescale" => ReMdm::rescale(eta)?,
                "conf" => ReMdm::conf(),
                _ => ReMdm::cap(eta)?,
            }))
        },
    },
    Entry {
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
    },
    Entry {
        name: "rcr",
        summary: "running confidence: mask the least confident of all; score raw or filtered",
        parameters: &[Parameter::new("score", "filtered")],
        make: |values, _| Ok(Box::new(Rcr::new(score(values)?))),
    },
    Entry {
        name: "p2",
        summary: "path planning: mask the least probable of all; needs a schedule of so many steps",
        parameters: &[Parameter::new("eta", "1")],
        make: |values, _| Ok(Box::new(PathPlanning::new(values.number("eta")?)?)),
    },
    Entry {
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
    },
];

fn score(values: &Values<'_>) -> Result<Score, conjoint::Error> {
    let choice = values.choice("score", &["raw", "filtered"])?;
    Ok(if choice == "raw" { Score::Raw } else { Score::Filtered })
}
