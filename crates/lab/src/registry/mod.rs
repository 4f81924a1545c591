//! Strategies, schedules, orders, revisers and presets by name, the built-in ones and a user's own.
//!
//! A name is written `NAME`, `NAME:VALUE` or `NAME:PARAMETER=VALUE:PARAMETER=VALUE`. Values without a parameter's name go by
//! their place. A [`Registry`] parses such texts into specs. A spec then makes the strategy, schedule or order.
//!
//! A new built-in strategy is one more entry in a file of `unmaskers/`; a user's own is registered in the same way:
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

mod context;
mod entry;
mod line;
mod orders;
mod part;
mod preset;
mod revisers;
mod schedules;
mod spec;
mod unmaskers;

use std::sync::Arc;

use crate::Error;

pub use context::Context;
pub use entry::{Entry, OrderEntry, ReviserEntry, ScheduleEntry, Scheduled, UnmaskerEntry};
pub use line::Line;
pub use orders::OrderSpec;
pub use part::{HowMany, Part, Uses, reject_unused};
pub use preset::{PRESETS, Preset};
pub use revisers::ReviserSpec;
pub use schedules::ScheduleSpec;
pub use spec::Values;
pub use unmaskers::UnmaskerSpec;

/// Everything that can be named.
///
/// An entry replaces the one of the same name, if there is one.
#[derive(Clone)]
pub struct Registry {
    unmaskers: Arc<Vec<Arc<UnmaskerEntry>>>,
    schedules: Vec<Arc<ScheduleEntry>>,
    orders: Vec<Arc<OrderEntry>>,
    revisers: Vec<Arc<ReviserEntry>>,
}

impl Registry {
    /// The strategies, schedules, orders and revisers of this library.
    pub fn builtin() -> Self {
        fn shared<E>(entries: Vec<E>) -> Vec<Arc<E>> {
            entries.into_iter().map(Arc::new).collect()
        }
        Self {
            unmaskers: Arc::new(shared(unmaskers::builtin())),
            schedules: shared(schedules::builtin()),
            orders: shared(orders::builtin()),
            revisers: shared(revisers::builtin()),
        }
    }

    /// Registers a strategy.
    pub fn with_unmasker(mut self, entry: UnmaskerEntry) -> Self {
        put(Arc::make_mut(&mut self.unmaskers), entry, UnmaskerEntry::name);
        self
    }

    /// Registers a schedule.
    pub fn with_schedule(mut self, entry: ScheduleEntry) -> Self {
        put(&mut self.schedules, entry, Entry::name);
        self
    }

    /// Registers an order.
    pub fn with_order(mut self, entry: OrderEntry) -> Self {
        put(&mut self.orders, entry, Entry::name);
        self
    }

    /// Registers a reviser.
    pub fn with_reviser(mut self, entry: ReviserEntry) -> Self {
        put(&mut self.revisers, entry, Entry::name);
        self
    }

    /// Parses the name of a strategy.
    ///
    /// # Errors
    /// [`Error::Name`] says what is wrong with the name or its parameters.
    pub fn unmasker(&self, text: &str) -> Result<UnmaskerSpec, Error> {
        UnmaskerSpec::parse(text, &self.unmaskers)
    }

    /// Parses the name of a schedule, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and whatever the schedule says of its parameters.
    pub fn schedule(&self, text: &str) -> Result<ScheduleSpec, Error> {
        ScheduleSpec::parse(text, &self.schedules)
    }

    /// Parses the name of a reviser, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and whatever the reviser says of its parameters.
    pub fn reviser(&self, text: &str) -> Result<ReviserSpec, Error> {
        ReviserSpec::parse(text, &self.revisers)
    }

    /// Parses the name of an order, and makes it.
    ///
    /// # Errors
    /// [`Error::Name`], and whatever the order says of its parameters.
    pub fn order(&self, text: &str) -> Result<OrderSpec, Error> {
        OrderSpec::parse(text, &self.orders)
    }

    /// Parses a line of a comparison: `UNMASKER`, `UNMASKER+SCHEDULE`, or either with `/REVISER` behind it; or the name of a
    /// [`Preset`].
    ///
    /// # Errors
    /// Those of [`unmasker`](Self::unmasker) and [`schedule`](Self::schedule), and [`Error::Unused`] if the strategy takes
    /// no schedule.
    pub fn line(&self, text: &str) -> Result<Line, Error> {
        // A strategy of one's own may have the name of a preset.
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

    /// Two lines of help for each preset: what it stands for, and what it is for.
    pub fn preset_help(&self) -> String {
        let line = |preset: &Preset| {
            format!("  {:<9} {}\n            {}\n", preset.name, preset.line, preset.about)
        };
        PRESETS.iter().map(line).collect()
    }

    /// A line of help for each strategy: its parameters with their defaults, and what it does.
    pub fn unmasker_help(&self) -> String {
        spec::list(self.unmaskers.iter().map(|entry| &entry.signature))
    }

    /// A line of help for each schedule.
    pub fn schedule_help(&self) -> String {
        spec::list(self.schedules.iter().map(|entry| &entry.signature))
    }

    /// A line of help for each reviser.
    pub fn reviser_help(&self) -> String {
        spec::list(self.revisers.iter().map(|entry| &entry.signature))
    }

    /// A line of help for each order.
    pub fn order_help(&self) -> String {
        spec::list(self.orders.iter().map(|entry| &entry.signature))
    }
}

/// The [built-in](Self::builtin) one.
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
    fn own_entries_stand_beside_the_built_in_ones() {
        let fast = ScheduleEntry::new("fast", "K tokens, and more", |values| {
            Ok(TokensPerStep::new(2 * values.count("k")?)?)
        });
        let registry = Registry::builtin().with_schedule(fast.required("k"));
        assert_eq!(registry.schedule("fast:3").unwrap().to_string(), "fast:3");
        assert!(registry.schedule("fast:0").is_err());
        assert!(registry.schedule("linear:4").is_ok());
        assert!(registry.schedule_help().ends_with("K tokens, and more\n"));
        assert!(Registry::builtin().schedule("fast:3").is_err());
    }

    #[test]
    fn an_entry_replaces_the_one_of_its_name() {
        let leftmost = OrderEntry::new("entropy", "not that", |_| Ok(LeftToRight));
        let registry = Registry::builtin().with_order(leftmost);
        let count = |registry: &Registry| registry.order_help().lines().count();
        assert_eq!(count(&registry), count(&Registry::builtin()));
        assert!(registry.order_help().contains("not that"));
        assert!(registry.order("entropy:raw").is_err());
    }
}
