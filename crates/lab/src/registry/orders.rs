use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint::order::{CertaintyPrior, PcSampler, Raw, RowScore};
use conjoint::prelude::*;

use super::spec::{Spec, Values};
use super::{Conformance, OrderEntry, Reference};
use crate::Error;

/// An order by name, parsed by a [`Registry`](super::Registry).
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
        let order = (entry.make)(&values);
        let order = order.map_err(|error| spec.with_own_name(&entry.signature, error))?;
        Ok(Self { order, file, written: spec.to_string() })
    }

    /// The order.
    pub fn order(&self) -> Arc<dyn Order> {
        self.order.clone()
    }

    /// The file that the order was made from, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for OrderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderSpec({})", self.written)
    }
}

/// The text that it was parsed from.
impl fmt::Display for OrderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

pub(super) fn builtin() -> Vec<OrderEntry> {
    vec![
        entropy(),
        confidence(),
        margin(),
        random(),
        left_to_right(),
        certainty_prior(),
        pc_sampler(),
    ]
}

/// A score of the filtered row, or of the row as the model returned it.
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

fn entropy() -> OrderEntry {
    scored("entropy", "lowest entropy first; score: filtered or raw", Entropy)
        .documented(Reference {
            item: "`Entropy`, `Raw(Entropy)`",
            rule: "−H of the filtered row, or of the row as the model returned it",
            source: "Dream, 2509.22738",
            ..Reference::default()
        })
        .tested(Conformance::of(&["entropy", "entropy:raw"]))
}

fn confidence() -> OrderEntry {
    scored("confidence", "largest probability first; score: filtered or raw", MaxProb)
        .documented(Reference {
            item: "`MaxProb`, `Raw(MaxProb)`",
            rule: "p₁",
            source: "Dream",
            ..Reference::default()
        })
        .tested(Conformance::of(&["confidence", "confidence:raw"]))
}

fn margin() -> OrderEntry {
    let summary = "largest gap between the two largest probabilities first; score: filtered or raw";
    scored("margin", summary, Margin)
        .documented(Reference {
            item: "`Margin`, `Raw(Margin)`",
            rule: "p₁ − p₂",
            source: "Dream, 2502.06768",
            ..Reference::default()
        })
        .tested(Conformance::of(&["margin", "margin:raw"]))
}

fn random() -> OrderEntry {
    OrderEntry::new("random", "uniformly random", |_| Ok(Random)).documented(Reference {
        item: "`Random`",
        rule: "uniformly random",
        source: "2406.07524",
        ..Reference::default()
    })
}

fn left_to_right() -> OrderEntry {
    OrderEntry::new("left-to-right", "leftmost first", |_| Ok(LeftToRight)).documented(Reference {
        item: "`LeftToRight`",
        rule: "leftmost first",
        ..Reference::default()
    })
}

fn certainty_prior() -> OrderEntry {
    OrderEntry::new(
        "certainty-prior",
        "largest probability, times the density of known tokens nearby",
        |values| Ok(CertaintyPrior::new(values.number("sigma")?)?),
    )
    .parameter("sigma", "10")
    .documented(Reference {
        item: "`CertaintyPrior`",
        rule: "p₁ × Gaussian density (deviation `sigma`) of known tokens nearby",
        source: "2509.23094",
        ..Reference::default()
    })
    .tested(Conformance::of(&["certainty-prior:1"]))
}

fn pc_sampler() -> OrderEntry {
    OrderEntry::new(
        "pc-sampler",
        "PC-Sampler; counts: a JSON file with the count of every token id in a corpus",
        |values| {
            let (lambda, alpha) = (values.number("lambda")?, values.number("alpha")?);
            Ok(PcSampler::new(&counts(values)?)?.lambda(lambda)?.alpha(alpha)?)
        },
    )
    .required("counts")
    .parameter("lambda", "0.25")
    .parameter("alpha", "10")
    .file("counts")
    .documented(Reference {
        item: "`PcSampler`",
        rule: "e^{−`lambda` i} · min(−c ln f(token), `alpha`), f by the token counts",
        source: "2508.13021",
        ..Reference::default()
    })
    .tested(Conformance::of(&["pc-sampler:{FILE}"]))
}

/// Reads the token counts from the file of the parameter `counts`.
fn counts(values: &Values<'_>) -> Result<Vec<u64>, Error> {
    let path = Path::new(values.text("counts"));
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        reason: format!("expected an array of counts: {error}"),
    })
}
