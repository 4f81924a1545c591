use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint::order::{CertaintyPrior, PcSampler, Raw, RowScore};
use conjoint::prelude::*;

use super::OrderEntry;
use super::spec::{Spec, Values};
use crate::Error;

/// Where tokens are revealed first, by name.
#[derive(Clone)]
pub struct OrderSpec {
    written: String,
    order: Arc<dyn Order>,
    file: Option<PathBuf>,
}

impl OrderSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<OrderEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let values = spec.values(&entry.signature);
        let file = entry.file.and_then(|name| values.given(name)).map(PathBuf::from);
        Ok(Self { order: (entry.make)(&values)?, file, written: spec.to_string() })
    }

    /// The order.
    pub fn order(&self) -> Arc<dyn Order> {
        self.order.clone()
    }

    /// The file that it was made from, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for OrderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderSpec({})", self.written)
    }
}

/// As it was written.
impl fmt::Display for OrderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A row score, of the filtered row or of the row as the model gave it.
fn scored<S: RowScore + Copy + 'static>(
    name: &'static str,
    summary: &'static str,
    score: S,
) -> OrderEntry {
    let make = move |values: &Values<'_>| -> Result<Arc<dyn Order>, Error> {
        let raw = values.choice("score", &["filtered", "raw"])? == "raw";
        Ok(if raw { Arc::new(Raw(score)) } else { Arc::new(score) })
    };
    OrderEntry::new(name, summary, make).parameter("score", "filtered")
}

pub(super) fn builtin() -> Vec<OrderEntry> {
    vec![
        scored("entropy", "lowest entropy first; score filtered or raw", Entropy),
        scored("confidence", "largest probability first; score filtered or raw", MaxProb),
        scored(
            "margin",
            "largest gap between the two largest probabilities first; score filtered or raw",
            Margin,
        ),
        OrderEntry::new("random", "uniformly random", |_| Ok(Random)),
        OrderEntry::new("left-to-right", "leftmost first", |_| Ok(LeftToRight)),
        OrderEntry::new(
            "certainty-prior",
            "largest probability, times how much is known nearby",
            |values| Ok(CertaintyPrior::new(values.number("sigma")?)?),
        )
        .parameter("sigma", "10"),
        OrderEntry::new(
            "pc-sampler",
            "PC-Sampler; counts is a JSON file with the count of every token id in a corpus",
            |values| {
                let (lambda, alpha) = (values.number("lambda")?, values.number("alpha")?);
                Ok(PcSampler::new(&counts(values)?)?.lambda(lambda)?.alpha(alpha)?)
            },
        )
        .required("counts")
        .parameter("lambda", "0.25")
        .parameter("alpha", "10")
        .file("counts"),
    ]
}

/// The token counts in the file that `counts` names.
fn counts(values: &Values<'_>) -> Result<Vec<u64>, Error> {
    let path = Path::new(values.text("counts"));
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        reason: format!("expected an array of counts: {error}"),
    })
}
