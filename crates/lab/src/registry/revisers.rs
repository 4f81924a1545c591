use std::fmt;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::reviser::{DynReviser, Edit, Hierarchical, Rcr, ReMdm, Saber, Wino};

use super::ReviserEntry;
use super::spec::{Spec, Values, refused};
use crate::Error;

/// What is taken back, by name.
#[derive(Clone)]
pub struct ReviserSpec {
    written: String,
    reviser: Box<dyn DynReviser>,
}

impl ReviserSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<ReviserEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let reviser = (entry.make)(&spec.values(&entry.signature))?;
        Ok(Self { written: spec.to_string(), reviser })
    }

    /// The generator with this reviser.
    pub fn apply(&self, generator: Generator) -> Generator {
        generator.reviser(self.reviser.clone())
    }
}

impl fmt::Debug for ReviserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReviserSpec({})", self.written)
    }
}

/// As it was written.
impl fmt::Display for ReviserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

pub(super) fn builtin() -> Vec<ReviserEntry> {
    vec![
        ReviserEntry::new(
            "wino",
            "WINO: mask again what is less probable than this without itself",
            |values| Ok(Wino::new(values.number("keep")?)?),
        )
        .parameter("keep", "0.9"),
        ReviserEntry::new(
            "edit",
            "LLaDA2.1: replace what another token beats, go on when full",
            |values| {
                let edit = Edit::new(values.number("bound")?)?;
                Ok(edit.post_steps(values.count("post-steps")?))
            },
        )
        .parameter("bound", "0.5")
        .parameter("post-steps", "16"),
        ReviserEntry::new("rcr", "RCR: keep the most confident of all, new and old", |_| {
            Ok(Rcr::default())
        }),
        ReviserEntry::new(
            "remdm",
            "ReMDM: mask again at random, rule cap (eta 0.008), rescale (eta 0.015) or conf; needs a total of steps",
            |values| remdm(values, ReMdm::conf, ReMdm::rescale, ReMdm::cap),
        )
        .parameter("rule", "cap")
        .open("eta"),
        ReviserEntry::new(
            "hierarchical",
            "dInfer: mask again where no token has this probability any more",
            |values| Ok(Hierarchical::new(values.number("rho")?)?),
        )
        .parameter("rho", "0.4"),
        ReviserEntry::new("saber", "Saber: mask again what lost confidence most", |values| {
            Ok(Saber::new(values.count("least")?))
        })
        .parameter("least", "2"),
    ]
}

/// ReMDM's rule and its eta, as both the reviser and the whole process take them.
pub(super) fn remdm<R>(
    values: &Values<'_>,
    conf: impl FnOnce() -> R,
    rescale: impl FnOnce(f64) -> Result<R, conjoint::Error>,
    cap: impl FnOnce(f64) -> Result<R, conjoint::Error>,
) -> Result<R, Error> {
    let rule = values.choice("rule", &["cap", "rescale", "conf"])?;
    Ok(match (rule, values.given_number("eta")?) {
        ("conf", None) => conf(),
        ("conf", Some(eta)) => {
            let expected = "nothing: rule conf has no eta".to_owned();
            return Err(refused("eta", &eta.to_string(), expected).into());
        }
        ("rescale", eta) => rescale(eta.unwrap_or(0.015))?,
        (_, eta) => cap(eta.unwrap_or(0.008))?,
    })
}
