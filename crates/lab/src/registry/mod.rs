//! Strategies, schedules, orders, revisers, caches and presets by name, both built-in ones and your own.
//!
//! A name is written `NAME`, `NAME:VALUE` or `NAME:PARAMETER=VALUE:PARAMETER=VALUE`. Values without a parameter's name are
//! taken by place. A [`Registry`] parses such texts into specs. A spec then makes the strategy, schedule or order.
//!
//! The entries are the one list of strategies. Help texts, the tables of `docs/strategies.md` and the conformance tests in
//! `tests/` are made from them. A new built-in strategy is one more entry in a file of `unmaskers/`. Your own strategy is
//! registered in the same way:
//!
//! ```
//! use conjoint::prelude::*;
//! use conjoint_lab::registry::{Context, Registry, UnmaskerEntry};
//! # use conjoint::Error;
//! # #[derive(Clone)]
//! # struct Leftmost { at_once: usize }
//! # impl Unmasker for Leftmost {
//! #     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//! #         let drawn = view.draw(Row::candidate(0))?;
//! #         view.reveal(Row::candidate(0), drawn);
//! #         Ok(Next::EndStep)
//! #     }
//! # }
//!
//! let entry = UnmaskerEntry::new("leftmost", "the leftmost tokens", |values, _| {
//!     Ok(Leftmost { at_once: values.count("at-once")? })
//! });
//! let registry = Registry::builtin().with_unmasker(entry.parameter("at-once", "2"));
//!
//! let spec = registry.unmasker("leftmost:at-once=3")?;
//! let strategy = spec.make(&Context::new())?;
//! # let _ = strategy;
//! # Ok::<(), conjoint_lab::Error>(())
//! ```

mod caches;
mod command_names;
mod context;
mod entry;
mod line;
mod orders;
mod part;
mod preset;
mod reference;
mod revisers;
mod schedules;
mod spec;
mod unmaskers;
mod uses;

use std::sync::Arc;

use crate::Error;

pub use caches::CacheSpec;
pub(crate) use command_names::{combination, in_command_names};
pub use context::Context;
pub use entry::{
    CacheEntry, Entry, OrderEntry, ReviserEntry, ScheduleEntry, Scheduled, UnmaskerEntry,
};
pub use line::Line;
pub use orders::OrderSpec;
pub use part::{HowMany, Part};
pub use preset::{PRESETS, Preset};
pub use reference::{Conformance, Reference};
pub use revisers::ReviserSpec;
pub use schedules::ScheduleSpec;
pub use spec::Values;
pub use unmaskers::UnmaskerSpec;
pub use uses::{Uses, reject_unused};

/// All strategies, schedules, orders, revisers and caches by name.
///
/// Registering an entry replaces the one of the same name, if there is one.
#[derive(Clone)]
pub struct Registry {
    unmaskers: Arc<Vec<Arc<UnmaskerEntry>>>,
    schedules: Vec<Arc<ScheduleEntry>>,
    orders: Vec<Arc<OrderEntry>>,
    revisers: Vec<Arc<ReviserEntry>>,
    caches: Vec<Arc<CacheEntry>>,
}

impl Registry {
    /// The strategies, schedules, orders, revisers and caches of this library.
    pub fn builtin() -> Self {
        fn shared<E>(entries: Vec<E>) -> Vec<Arc<E>> {
            entries.into_iter().map(Arc::new).collect()
        }
        Self {
            unmaskers: Arc::new(shared(unmaskers::builtin())),
            schedules: shared(schedules::builtin()),
            orders: shared(orders::builtin()),
            revisers: shared(revisers::builtin()),
            caches: shared(caches::builtin()),
        }
    }

    /// All strategies, in the order of their registration.
    pub fn unmaskers(&self) -> impl Iterator<Item = &UnmaskerEntry> {
        self.unmaskers.iter().map(AsRef::as_ref)
    }

    /// All schedules and policies.
    pub fn schedules(&self) -> impl Iterator<Item = &ScheduleEntry> {
        self.schedules.iter().map(AsRef::as_ref)
    }

    /// All orders.
    pub fn orders(&self) -> impl Iterator<Item = &OrderEntry> {
        self.orders.iter().map(AsRef::as_ref)
    }

    /// All revisers.
    pub fn revisers(&self) -> impl Iterator<Item = &ReviserEntry> {
        self.revisers.iter().map(AsRef::as_ref)
    }

    /// All caches.
    pub fn caches(&self) -> impl Iterator<Item = &CacheEntry> {
        self.caches.iter().map(AsRef::as_ref)
    }

    /// Removes all entries that read a file that a parameter names. A server must not let its clients name files.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.schedules.retain(|entry| entry.file.is_none());
        self.orders.retain(|entry| entry.file.is_none());
        self.revisers.retain(|entry| entry.file.is_none());
        self.caches.retain(|entry| entry.file.is_none());
        self
    }

    /// Registers a strategy.
    #[must_use]
    pub fn with_unmasker(mut self, entry: UnmaskerEntry) -> Self {
        put(Arc::make_mut(&mut self.unmaskers), entry, UnmaskerEntry::name);
        self
    }

    /// Registers a schedule.
    #[must_use]
    pub fn with_schedule(mut self, entry: ScheduleEntry) -> Self {
        put(&mut self.schedules, entry, Entry::name);
        self
    }

    /// Registers an order.
    #[must_use]
    pub fn with_order(mut self, entry: OrderEntry) -> Self {
        put(&mut self.orders, entry, Entry::name);
        self
    }

    /// Registers a reviser.
    #[must_use]
    pub fn with_reviser(mut self, entry: ReviserEntry) -> Self {
        put(&mut self.revisers, entry, Entry::name);
        self
    }

    /// Registers a cache.
    #[must_use]
    pub fn with_cache(mut self, entry: CacheEntry) -> Self {
        put(&mut self.caches, entry, Entry::name);
        self
    }

    /// Parses the name of a strategy.
    ///
    /// # Errors
    /// [`Error::Name`] if the text has an unknown name or parameter.
    pub fn unmasker(&self, text: &str) -> Result<UnmaskerSpec, Error> {
        UnmaskerSpec::parse(text, &self.unmaskers)
    }

    /// Parses the name of a schedule, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and the errors of the schedule about its parameters.
    pub fn schedule(&self, text: &str) -> Result<ScheduleSpec, Error> {
        ScheduleSpec::parse(text, &self.schedules)
    }

    /// Parses the name of a reviser, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and the errors of the reviser about its parameters.
    pub fn reviser(&self, text: &str) -> Result<ReviserSpec, Error> {
        ReviserSpec::parse(text, &self.revisers)
    }

    /// Parses the name of an order, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and the errors of the order about its parameters.
    pub fn order(&self, text: &str) -> Result<OrderSpec, Error> {
        OrderSpec::parse(text, &self.orders)
    }

    /// Parses the name of a cache, and makes its policy.
    ///
    /// # Errors
    /// [`Error::Name`], and the errors of the policy about its parameters.
    pub fn cache(&self, text: &str) -> Result<CacheSpec, Error> {
        CacheSpec::parse(text, &self.caches)
    }

    /// Parses a line of a comparison: `UNMASKER`, `UNMASKER+SCHEDULE`, either of them followed by `/REVISER`, or the name of
    /// a [`Preset`].
    ///
    /// # Errors
    /// Those of [`unmasker`](Self::unmasker), [`schedule`](Self::schedule) and [`reviser`](Self::reviser), and
    /// [`Error::Name`] if the strategy takes no schedule.
    pub fn line(&self, text: &str) -> Result<Line, Error> {
        if let Some((text, cache)) = text.rsplit_once('@') {
            return Ok(self.line(text)?.cached(self.cache(cache)?));
        }
        // Your own strategy may have the name of a preset.
        let is_own = self.unmaskers.iter().any(|entry| entry.name() == text);
        let preset = preset::find(text).filter(|_| !is_own);
        let text = preset.map_or(text, |preset| preset.line);
        let (rest, reviser) = match text.split_once('/') {
            None => (text, None),
            Some((rest, reviser)) => (rest, Some(self.reviser(reviser)?)),
        };
        let line = match rest.split_once('+') {
            None => Line::new(self.unmasker(rest)?),
            Some((unmasker, schedule)) => {
                Line::new(self.unmasker(unmasker)?).scheduled(self.schedule(schedule)?)?
            }
        };
        Ok(match reviser {
            None => line,
            Some(reviser) => line.revised(reviser),
        })
    }

    /// Two lines of help for each preset: its line of a comparison, and its purpose.
    pub fn preset_help(&self) -> String {
        let line = |preset: &Preset| {
            format!("  {:<9} {}\n            {}\n", preset.name, preset.line, preset.about)
        };
        PRESETS.iter().map(line).collect()
    }

    /// One line of help for each strategy: its parameters with their defaults, and what it does.
    pub fn unmasker_help(&self) -> String {
        spec::list(self.unmaskers.iter().map(|entry| &entry.signature))
    }

    /// One line of help for each schedule.
    pub fn schedule_help(&self) -> String {
        spec::list(self.schedules.iter().map(|entry| &entry.signature))
    }

    /// One line of help for each reviser.
    pub fn reviser_help(&self) -> String {
        spec::list(self.revisers.iter().map(|entry| &entry.signature))
    }

    /// One line of help for each cache.
    pub fn cache_help(&self) -> String {
        spec::list(self.caches.iter().map(|entry| &entry.signature))
    }

    /// One line of help for each order.
    pub fn order_help(&self) -> String {
        spec::list(self.orders.iter().map(|entry| &entry.signature))
    }
}

/// [`Registry::builtin`].
impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

/// Adds an entry, or replaces the one of its name.
fn put<E>(entries: &mut Vec<Arc<E>>, entry: E, name: impl Fn(&E) -> &'static str) {
    let place = entries.iter().position(|other| name(other) == name(&entry));
    match place {
        Some(place) => entries[place] = Arc::new(entry),
        None => entries.push(Arc::new(entry)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint::prelude::*;

    #[test]
    fn own_entries_are_added_to_the_built_in_ones() {
        let fast = ScheduleEntry::new("fast", "2 K tokens a step", |values| {
            Ok(TokensPerStep::new(2 * values.count("k")?)?)
        });
        let registry = Registry::builtin().with_schedule(fast.required("k"));
        assert_eq!(registry.schedule("fast:3").unwrap().to_string(), "fast:3");
        assert!(registry.schedule("fast:0").is_err());
        assert!(registry.schedule("linear:4").is_ok());
        assert!(registry.schedule_help().ends_with("2 K tokens a step\n"));
        assert!(Registry::builtin().schedule("fast:3").is_err());
    }

    #[test]
    fn an_entry_replaces_the_one_of_its_name() {
        let leftmost = OrderEntry::new("entropy", "leftmost first", |_| Ok(LeftToRight));
        let registry = Registry::builtin().with_order(leftmost);
        let count = |registry: &Registry| registry.order_help().lines().count();
        assert_eq!(count(&registry), count(&Registry::builtin()));
        assert!(registry.order_help().contains("leftmost first"));
        assert!(registry.order("entropy:raw").is_err());
    }
}
