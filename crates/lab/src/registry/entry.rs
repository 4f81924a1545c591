//! Entries of the registry: a name, its parameters and a constructor.

use std::sync::Arc;

use conjoint::cache::DynCachePolicy;
use conjoint::policy::DynPolicy;
use conjoint::prelude::*;
use conjoint::reviser::DynReviser;
use conjoint::strategy::Strategy;

use super::spec::{Default, Signature, Values};
use super::{Conformance, Context, HowMany, Part, Reference};
use crate::Error;

/// Makes a schedule, an order, a reviser or a cache from its parameters.
type Make<T> = Box<dyn Fn(&Values<'_>) -> Result<T, Error> + Send + Sync>;

/// The methods that all kinds of entries share.
macro_rules! signature_methods {
    () => {
        /// The name.
        pub fn name(&self) -> &'static str {
            self.signature.name
        }

        /// What it does, in one line.
        pub fn summary(&self) -> &'static str {
            self.signature.summary
        }

        /// The name with its parameters and their defaults, such as `klass:tau=0.9:epsilon=0.01:stable=2`.
        pub fn usage(&self) -> String {
            self.signature.usage()
        }

        /// What the reference documentation says of it.
        pub fn reference(&self) -> Reference {
            self.signature.reference
        }

        /// How the conformance suite runs it.
        pub fn conformance(&self) -> Conformance {
            self.signature.conformance
        }

        /// Adds a parameter with a default.
        pub fn parameter(mut self, name: &'static str, default: &'static str) -> Self {
            self.signature.push(name, Default::Value(default));
            self
        }

        /// Adds a parameter that must be given.
        pub fn required(mut self, name: &'static str) -> Self {
            self.signature.push(name, Default::Required);
            self
        }

        /// Adds an optional parameter without a default. The constructor reads it with [`Values::given`].
        pub fn open(mut self, name: &'static str) -> Self {
            self.signature.push(name, Default::Open);
            self
        }

        /// Sets what the reference documentation says of it.
        pub fn documented(mut self, reference: Reference) -> Self {
            self.signature.reference = reference;
            self
        }

        /// Sets how the conformance suite runs it.
        pub fn tested(mut self, conformance: Conformance) -> Self {
            self.signature.conformance = conformance;
            self
        }
    };
}

/// A schedule, an order, a reviser or a cache by name, and how to make it from its parameters.
#[must_use]
pub struct Entry<T> {
    pub(crate) signature: Signature,
    pub(super) make: Make<T>,
    /// The parameter that names a file.
    pub(super) file: Option<&'static str>,
}

/// What the name of a schedule stands for.
#[derive(Clone)]
#[non_exhaustive]
pub enum Scheduled {
    /// A schedule: how many tokens a step reveals. An order says where.
    Quantity(Arc<dyn Schedule>),
    /// A policy: how many tokens a step reveals, and where.
    Policy(Box<dyn DynPolicy>),
}

/// A schedule or a scheduling policy by name.
pub type ScheduleEntry = Entry<Scheduled>;

/// A reviser by name.
pub type ReviserEntry = Entry<Box<dyn DynReviser>>;

/// An order by name.
pub type OrderEntry = Entry<Arc<dyn Order>>;

/// A cache by name: `None` for no cache.
pub type CacheEntry = Entry<Option<Box<dyn DynCachePolicy>>>;

impl ScheduleEntry {
    /// A schedule of this name, with one line of help, made by `make`.
    pub fn new<S: Schedule + 'static>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<S, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Scheduled, Error> {
            Ok(Scheduled::Quantity(Arc::new(make(values)?)))
        };
        Self::with(name, summary, Box::new(make))
    }

    /// A scheduling policy of this name, with one line of help, made by `make`.
    pub fn policy<P: DynPolicy>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<P, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Scheduled, Error> {
            Ok(Scheduled::Policy(make(values)?.boxed()))
        };
        Self::with(name, summary, Box::new(make))
    }
}

impl ReviserEntry {
    /// A reviser of this name, with one line of help, made by `make`.
    pub fn new<R: DynReviser>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Box<dyn DynReviser>, Error> {
            Ok(make(values)?.boxed())
        };
        Self::with(name, summary, Box::new(make))
    }
}

impl OrderEntry {
    /// An order of this name, with one line of help, made by `make`.
    pub fn new<O: Order + 'static>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<O, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Arc<dyn Order>, Error> {
            Ok(Arc::new(make(values)?))
        };
        Self::with(name, summary, Box::new(make))
    }

    /// Marks a parameter as the name of a file. A comparison does not resume once the file's content has changed.
    pub fn file(mut self, parameter: &'static str) -> Self {
        self.file = Some(parameter);
        self
    }
}

impl CacheEntry {
    /// A cache of this name, with one line of help, made by `make`.
    pub fn new<P: DynCachePolicy>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<P, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Option<Box<dyn DynCachePolicy>>, Error> {
            Ok(Some(make(values)?.boxed()))
        };
        Self::with(name, summary, Box::new(make))
    }

    /// The name of no cache.
    pub(super) fn none(name: &'static str, summary: &'static str) -> Self {
        Self::with(name, summary, Box::new(|_| Ok(None)))
    }
}

impl<T> Entry<T> {
    fn with(name: &'static str, summary: &'static str, make: Make<T>) -> Self {
        Self { signature: Signature::new(name, summary), make, file: None }
    }

    signature_methods!();
}

/// Makes a strategy from its parameters and the context.
type MakeStrategy = Box<dyn Fn(&Values<'_>, &Context) -> Result<Strategy, Error> + Send + Sync>;

/// A strategy by name, and the parts that it takes.
///
/// Without [`how_many`](Self::how_many) and [`takes`](Self::takes), the strategy decides by itself how many tokens a step
/// reveals. It then takes no order, sampler layer or scorer. A comparison rejects a part that the strategy does not take.
///
/// A comparison's folder identifies a strategy by its name. After a change of the strategy's code, choose another folder
/// or another name.
#[must_use]
pub struct UnmaskerEntry {
    pub(crate) signature: Signature,
    pub(super) make: MakeStrategy,
    pub(super) how_many: HowMany,
    parts: Vec<Part>,
}

impl UnmaskerEntry {
    /// A strategy of this name, with one line of help, made by `make` from its parameters and the context.
    pub fn new<S: Into<Strategy>>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>, &Context) -> Result<S, Error> + Send + Sync + 'static,
    ) -> Self {
        let make =
            move |values: &Values<'_>, context: &Context| make(values, context).map(Into::into);
        Self {
            signature: Signature::new(name, summary),
            make: Box::new(make),
            how_many: HowMany::Own,
            parts: Vec::new(),
        }
    }

    signature_methods!();

    /// Sets what decides how many tokens a step reveals.
    pub fn how_many(mut self, how_many: HowMany) -> Self {
        self.how_many = how_many;
        self
    }

    /// Adds parts that the strategy takes, beside its parameters and a schedule.
    pub fn takes(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }

    /// Whether the strategy takes this part.
    pub fn is_made_of(&self, part: Part) -> bool {
        match part {
            Part::Schedule => matches!(self.how_many, HowMany::Schedule | HowMany::Steps),
            part => self.parts.contains(&part),
        }
    }
}
