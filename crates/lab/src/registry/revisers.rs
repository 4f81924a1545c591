use std::fmt;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::reviser::{DynReviser, Edit, Hierarchical, Rcr, ReMdm, Saber, Wino};

use super::spec::{Spec, Values, invalid};
use super::{Conformance, Reference, ReviserEntry};
use crate::Error;

/// A reviser by name, parsed by a [`Registry`](super::Registry).
#[derive(Clone)]
#[doc(alias = "remasking")]
pub struct ReviserSpec {
    written: String,
    reviser: Box<dyn DynReviser>,
}

impl ReviserSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<ReviserEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let reviser = (entry.make)(&spec.values(&entry.signature));
        let reviser = reviser.map_err(|error| spec.with_own_name(&entry.signature, error))?;
        Ok(Self { written: spec.to_string(), reviser })
    }

    /// The reviser.
    pub fn reviser(&self) -> Box<dyn DynReviser> {
        self.reviser.clone()
    }

    /// Sets this reviser on a generator.
    pub fn apply(&self, generator: Generator) -> Generator {
        generator.reviser(self.reviser.clone())
    }
}

impl fmt::Debug for ReviserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReviserSpec({})", self.written)
    }
}

/// The text that it was parsed from.
impl fmt::Display for ReviserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

pub(super) fn builtin() -> Vec<ReviserEntry> {
    vec![wino(), edit(), rcr(), remdm_entry(), hierarchical(), saber()]
}

fn wino() -> ReviserEntry {
    ReviserEntry::new(
        "wino",
        "WINO: remask tokens less probable than keep once they are hidden",
        |values| Ok(Wino::new(values.number("keep")?)?),
    )
    .parameter("keep", "0.9")
    .documented(Reference {
        item: "`Wino`",
        rule: "masks revealed tokens less probable than `keep` once their own position is hidden; fewer than the step \
               before revealed",
        needs: "one more canvas in the batch for each revealed token",
        law: "at `keep` = 0, or with one position a step",
        source: "WINO 2507.18578",
    })
}

fn edit() -> ReviserEntry {
    ReviserEntry::new(
        "edit",
        "LLaDA2.1: replace tokens by newly drawn ones of probability above bound, for up to post-steps steps in a full block",
        |values| {
            let edit = Edit::new(values.number("bound")?)?;
            Ok(edit.post_steps(values.count("post-steps")?))
        },
    )
    .parameter("bound", "0.5")
    .parameter("post-steps", "16")
    .documented(Reference {
        item: "`Edit`",
        rule: "draws again at each revealed position, and replaces its token if the new one differs and has p > `bound`; edits a full \
               block in up to `post-steps` further steps",
        law: "at `bound` = 1",
        source: "LLaDA2.1 2602.08676",
        ..Reference::default()
    })
    .tested(Conformance::of(&["edit:0.3:3"]))
}

fn rcr() -> ReviserEntry {
    ReviserEntry::new("rcr", "RCR: keep the most confident of old and new tokens", |_| {
        Ok(Rcr::default())
    })
    .documented(Reference {
        item: "`Rcr`",
        rule: "of m masked positions with K selected, masks the m − K least confident of old and new tokens, so that each step leaves \
               K fewer masked",
        needs: "an unmasker that reveals the whole selection",
        law: "if all positions are selected at once",
        source: "MDPO 2508.13148",
    })
}

fn remdm_entry() -> ReviserEntry {
    ReviserEntry::new(
        "remdm",
        "ReMDM: remask at random; rule: cap (eta 0.008), rescale (eta 0.015) or conf; needs a total number of steps",
        |values| remdm(values, ReMdm::conf, ReMdm::rescale, ReMdm::cap),
    )
    .parameter("rule", "cap")
    .open("eta")
    .documented(Reference {
        item: "`ReMdm`",
        rule: "masks each revealed token with probability σ: min(`eta`, σ_max) for `cap` (`eta` 0.008), `eta` σ_max for `rescale` \
               (`eta` 0.015), σ_max softmax(−ψ) for `conf`, ψ being the token's probability when revealed",
        needs: "a total number of steps; suits `linear` and `cosine`",
        law: "at `eta` = 0",
        source: "ReMDM 2503.00307",
    })
    .tested(Conformance::of(&["remdm:rescale:0.5"]))
}

fn hierarchical() -> ReviserEntry {
    ReviserEntry::new(
        "hierarchical",
        "dInfer: remask tokens where no token has probability rho any more",
        |values| Ok(Hierarchical::new(values.number("rho")?)?),
    )
    .parameter("rho", "0.4")
    .documented(Reference {
        item: "`Hierarchical`",
        rule: "masks tokens where no token has probability `rho` any more; fewer than the step selects",
        needs: "an unmasker that reveals the whole selection",
        law: "at `rho` = 0",
        source: "dInfer",
    })
    .tested(Conformance::of(&["hierarchical:0.5"]))
}

fn saber() -> ReviserEntry {
    ReviserEntry::new("saber", "Saber: remask tokens that lost confidence most", |values| {
        Ok(Saber::new(values.count("least")?))
    })
    .parameter("least", "2")
    .documented(Reference {
        item: "`Saber`",
        rule: "of the old tokens and the k newly selected ones, masks the min(max(⌊`least`/2⌋, ⌈k/8⌉), k − 1) whose largest \
               probability has risen least",
        needs: "an unmasker that reveals the whole selection",
        law: "with one position a step",
        source: "Saber 2510.18165",
    })
}

/// ReMDM's rule and its eta, for the reviser and for the unmasker.
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
            let expected = "no eta with rule conf".to_owned();
            return Err(invalid("eta", &eta.to_string(), expected).into());
        }
        ("rescale", eta) => rescale(eta.unwrap_or(0.015))?,
        (_, eta) => cap(eta.unwrap_or(0.008))?,
    })
}
