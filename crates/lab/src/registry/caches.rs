use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use conjoint::OnnxDenoiser;
use conjoint::cache::{Delayed, Dual, DynCachePolicy, Prefix, Vicinity};

use super::spec::{Spec, Values, invalid};
use super::{CacheEntry, Conformance, Reference};
use crate::Error;

/// A cache by name, parsed by a [`Registry`](super::Registry).
#[derive(Clone)]
pub struct CacheSpec {
    written: String,
    policy: Option<Box<dyn DynCachePolicy>>,
}

impl CacheSpec {
    pub(super) fn parse(text: &str, entries: &[Arc<CacheEntry>]) -> Result<Self, Error> {
        let (spec, entry) = Spec::parse(text, entries, |entry| &entry.signature)?;
        let policy = (entry.make)(&spec.values(&entry.signature));
        let policy = policy.map_err(|error| spec.with_own_name(&entry.signature, error))?;
        Ok(Self { written: spec.to_string(), policy })
    }

    /// The model with this cache.
    #[must_use]
    pub fn apply(&self, model: OnnxDenoiser) -> OnnxDenoiser {
        match self.policy() {
            Some(policy) => model.with_cache(policy),
            None => model.without_cache(),
        }
    }

    /// The policy. `None` for `none`: every forward computes all positions.
    pub fn policy(&self) -> Option<Box<dyn DynCachePolicy>> {
        self.policy.clone()
    }
}

impl fmt::Debug for CacheSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheSpec({})", self.written)
    }
}

/// The text that it was parsed from.
impl fmt::Display for CacheSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

pub(super) fn builtin() -> Vec<CacheEntry> {
    vec![none(), prefix(), dual(), vicinity(), delayed()]
}

fn none() -> CacheEntry {
    CacheEntry::none("none", "no cache: every forward computes all positions")
        .documented(Reference { rule: "all positions", law: "always", ..Reference::default() })
}

fn prefix() -> CacheEntry {
    CacheEntry::new(
        "prefix",
        "Fast-dLLM: cache the prompt and finished blocks; delay: d3LLM's further full forwards of a block",
        |values| {
            let delay = values.text("delay");
            let delay = delay.parse().map_err(|_| {
                invalid("delay", delay, format!("a whole number of at most {}", u32::MAX))
            })?;
            refreshed(values, Prefix::new().delay(delay), Prefix::refresh_every)
        },
    )
    .parameter("delay", "0")
    .open("every")
    .documented(Reference {
        item: "`Prefix`",
        rule: "the block and everything after it; all positions in the first 1 + `delay` forwards of a block",
        law: "if blocks take one forward, or nothing precedes the only block",
        source: "Fast-dLLM 2505.22618; the delay: d3LLM 2601.07568",
        ..Reference::default()
    })
    .tested(Conformance::of(&["prefix", "prefix:1", "prefix:every=2"]))
}

fn dual() -> CacheEntry {
    CacheEntry::new("dual", "Fast-dLLM: cache everything outside of the block", |values| {
        refreshed(values, Dual::new(), Dual::refresh_every)
    })
    .open("every")
    .documented(Reference {
        item: "`Dual`",
        rule: "the block; all positions in the first forward of a block",
        law: "if blocks take one forward, or the block is the whole sequence",
        source: "Fast-dLLM 2505.22618",
        ..Reference::default()
    })
    .tested(Conformance::of(&["dual", "dual:every=2"]))
}

fn vicinity() -> CacheEntry {
    CacheEntry::new(
        "vicinity",
        "dInfer: cache everything further than reach positions from the block",
        |values| refreshed(values, Vicinity::new(values.count("reach")?), Vicinity::refresh_every),
    )
    .parameter("reach", "16")
    .open("every")
    .documented(Reference {
        item: "`Vicinity`",
        rule: "the block, and `reach` positions on either side; all positions in the first forward of a block",
        law: "as `dual`, and if `reach` covers the sequence",
        source: "dInfer 2510.08666",
        ..Reference::default()
    })
    .tested(Conformance::of(&["vicinity", "vicinity:1", "vicinity:1:every=2"]))
}

fn delayed() -> CacheEntry {
    CacheEntry::new(
        "delayed",
        "dKV-Cache: cache tokens that delay forwards have computed since their reveal",
        |values| refreshed(values, Delayed::new(values.count("delay")?)?, Delayed::refresh_every),
    )
    .parameter("delay", "1")
    .open("every")
    .documented(Reference {
        item: "`Delayed`",
        rule: "all masked positions, and the tokens that fewer than `delay` forwards have computed since their reveal; \
               all positions in the first forward of a block",
        law: "if blocks take one forward",
        source: "dKV-Cache 2505.15781",
        ..Reference::default()
    })
    .tested(Conformance::of(&["delayed", "delayed:2", "delayed:every=2"]))
}

/// The policy with the refresh of the parameter `every`, if it is given.
fn refreshed<P>(
    values: &Values<'_>,
    policy: P,
    refresh_every: impl FnOnce(P, NonZeroU32) -> P,
) -> Result<P, Error> {
    let Some(every) = values.given("every") else { return Ok(policy) };
    let forwards = every.parse();
    let forwards =
        forwards.map_err(|_| invalid("every", every, "an integer of at least 1".to_owned()))?;
    Ok(refresh_every(policy, forwards))
}

#[cfg(test)]
mod tests {
    use crate::registry::{CacheEntry, Registry};
    use conjoint::cache::Dual;

    #[test]
    fn a_name_makes_a_policy_or_none() {
        let registry = Registry::builtin();
        assert!(registry.cache("none").unwrap().policy().is_none());
        let spec = registry.cache("vicinity:8:every=4").unwrap();
        assert_eq!(spec.to_string(), "vicinity:8:every=4");
        assert!(!spec.policy().unwrap().is_exact());
        // A refresh in every forward caches nothing.
        for name in ["prefix", "dual", "vicinity", "delayed"] {
            let spec = registry.cache(&format!("{name}:every=1")).unwrap();
            assert!(spec.policy().unwrap().is_exact(), "{name}");
        }
    }

    #[test]
    fn errors_name_the_parameter() {
        let registry = Registry::builtin();
        let error = |text: &str| registry.cache(text).unwrap_err().to_string();
        for (text, expected) in [
            ("duall", "did you mean 'dual'?"),
            ("dual:every=0", "invalid value `0` for `every`: expected an integer of at least 1"),
            ("delayed:0", "invalid value `0` for `delay`"),
            ("prefix:delay=-1", "invalid value `-1` for `delay`: expected a whole number"),
            ("vicinity:far", "invalid value `far` for `reach`: expected a whole number"),
            ("none:every=2", "unexpected parameter 'every=2': expected none"),
        ] {
            assert!(error(text).contains(expected), "{}", error(text));
        }
    }

    #[test]
    fn own_caches_are_added_to_the_built_in_ones() {
        let own = CacheEntry::new("mine", "as the dual one", |_| Ok(Dual::new()));
        let registry = Registry::builtin().with_cache(own);
        assert!(registry.cache("mine").unwrap().policy().is_some());
        assert!(registry.cache_help().ends_with("as the dual one\n"));
        assert!(registry.cache_help().contains("  dual[:every=EVERY]  "));
    }
}
