use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result};
use conjoint::order::{CertaintyPrior, PcSampler, Raw, RowScore};
use conjoint::prelude::*;

use super::spec::{Spec, Values};
use super::table::{self, Entry, Parameter};

/// Where tokens are revealed first, by name.
#[derive(Clone)]
pub struct OrderName {
    spec: Spec,
    order: Arc<dyn Order>,
}

impl OrderName {
    pub fn order(&self) -> Arc<dyn Order> {
        self.order.clone()
    }

    /// The file that it was made from, if any.
    pub fn file(&self) -> Option<&str> {
        (self.spec.name == PC_SAMPLER).then(|| self.spec.value(0)).flatten()
    }
}

impl std::fmt::Display for OrderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

impl FromStr for OrderName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let spec = Spec::parse(text, TABLE.iter())?;
        let order = spec.make(TABLE.iter(), &()).map_err(|error| format!("{error:#}"))?;
        Ok(Self { spec, order })
    }
}

/// The table for help.
pub fn orders() -> String {
    table::list(TABLE.iter())
}

fn raw(values: &Values<'_>) -> Result<bool, conjoint::Error> {
    values.choice("score", &["filtered", "raw"]).map(|choice| choice == "raw")
}

/// A row score by the filtered or the raw row.
fn scored<S: RowScore + Copy + 'static>(values: &Values<'_>, score: S) -> Result<Arc<dyn Order>> {
    Ok(if raw(values)? { Arc::new(Raw(score)) } else { Arc::new(score) })
}

const PC_SAMPLER: &str = "pc-sampler";

/// Whether the row is scored after temperature, truncation and bans, or as the model gave it.
const SCORE: &[Parameter] = &[Parameter::new("score", "filtered")];

const TABLE: &[Entry<Arc<dyn Order>, ()>] = &[
    Entry {
        name: "entropy",
        summary: "lowest entropy first; score filtered or raw",
        parameters: SCORE,
        make: |values, ()| scored(values, Entropy),
    },
    Entry {
        name: "confidence",
        summary: "largest probability first; score filtered or raw",
        parameters: SCORE,
        make: |values, ()| scored(values, MaxProb),
    },
    Entry {
        name: "margin",
        summary: "largest gap between the two largest probabilities first; score filtered or raw",
        parameters: SCORE,
        make: |values, ()| scored(values, Margin),
    },
    Entry {
        name: "random",
        summary: "uniformly random",
        parameters: &[],
        make: |_, ()| Ok(Arc::new(Random)),
    },
    Entry {
        name: "left-to-right",
        summary: "leftmost first",
        parameters: &[],
        make: |_, ()| Ok(Arc::new(LeftToRight)),
    },
    Entry {
        name: "certainty-prior",
        summary: "largest probability, times how much is known nearby",
        parameters: &[Parameter::new("sigma", "10")],
        make: |values, ()| Ok(Arc::new(CertaintyPrior::new(values.number("sigma")?)?)),
    },
    Entry {
        name: PC_SAMPLER,
        summary: "PC-Sampler; counts is a JSON file with the count of every token id in a corpus",
        parameters: &[
            Parameter::required("counts"),
            Parameter::new("lambda", "0.25"),
            Parameter::new("alpha", "10"),
        ],
        make: |values, ()| {
            let (lambda, alpha) = (values.number("lambda")?, values.number("alpha")?);
            Ok(Arc::new(PcSampler::new(&counts(values)?)?.lambda(lambda)?.alpha(alpha)?))
        },
    },
];

/// The token counts in the file that `counts` names.
fn counts(values: &Values<'_>) -> Result<Vec<u64>> {
    let path = values.text("counts");
    let text = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
    serde_json::from_slice(&text).with_context(|| format!("{path}: expected an array of counts"))
}
