//! Entries of the registry: a name, its parameters and a constructor.

use std::sync::Arc;

use conjoint::policy::DynPolicy;
use conjoint::prelude::*;
use conjoint::reviser::DynReviser;
use conjoint::strategy::Strategy;

use super::spec::{Default, Signature, Values};
use super::{Context, HowMany, Part};
use crate::Error;

/// A constructor of schedules or orders.
type Make<T> = Box<dyn Fn(&Values<'_>) -> Result<T, Error> + Send + Sync>;

/// A schedule or an order that can be named, and how it is made from its parameters.
pub struct Entry<T> {
    pub(crate) signature: Signature,
    pub(super) make: Make<T>,
    /// The parameter that names a file.
    pub(super) file: Option<&'static str>,
}

/// What decides where and how many, as far as it is named by `schedule`.
#[derive(Clone)]
pub enum Scheduled {
    /// How many tokens a step reveals, in an order.
    Quantity(Arc<dyn Schedule>),
    /// Where and how many, by one rule.
    Policy(Box<dyn DynPolicy>),
}

/// A schedule or a scheduling policy that can be named.
pub type ScheduleEntry = Entry<Scheduled>;

/// A reviser that can be named.
pub type ReviserEntry = Entry<Box<dyn DynReviser>>;

/// An order that can be named.
pub type OrderEntry = Entry<Arc<dyn Order>>;

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
        Self { signature: Signature::new(name, summary), make: Box::new(make), file: None }
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
        Self { signature: Signature::new(name, summary), make: Box::new(make), file: None }
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
        Self { signature: Signature::new(name, summary), make: Box::new(make), file: None }
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
        Self { signature: Signature::new(name, summary), make: Box::new(make), file: None }
    }

    /// Says that this parameter names a file. A comparison is then not continued with another content of the file.
    pub fn file(mut self, parameter: &'static str) -> Self {
        self.file = Some(parameter);
        self
    }
}

impl<T> Entry<T> {
    /// The name.
    pub fn name(&self) -> &'static str {
        self.signature.name
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

    /// Adds a parameter that may be left out, which the constructor learns by [`Values::given`].
    pub fn open(mut self, name: &'static str) -> Self {
        self.signature.push(name, Default::Open);
        self
    }
}

/// A constructor of strategies.
type MakeStrategy = Box<dyn Fn(&Values<'_>, &Context) -> Result<Strategy, Error> + Send + Sync>;

/// A strategy that can be named, and what it is made of.
///
/// Without [`how_many`](Self::how_many) and [`takes`](Self::takes), it decides alone how many tokens a step reveals, and
/// takes neither order, sampler layer nor scorer. What it does not take, a comparison rejects instead of ignoring it.
///
/// A comparison's folder knows a strategy by its name. After a change of the strategy's code, choose another folder or
/// another name.
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

    /// The name.
    pub fn name(&self) -> &'static str {
        self.signature.name
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

    /// Adds a parameter that may be left out, which the constructor learns by [`Values::given`].
    pub fn open(mut self, name: &'static str) -> Self {
        self.signature.push(name, Default::Open);
        self
    }

    /// Says what decides how many tokens a step reveals.
    pub fn how_many(mut self, how_many: HowMany) -> Self {
        self.how_many = how_many;
        self
    }

    /// Says what it is made of, beside its parameters and a schedule.
    pub fn takes(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }

    pub(super) fn is_made_of(&self, part: Part) -> bool {
        match part {
            Part::Schedule => matches!(self.how_many, HowMany::Schedule | HowMany::Steps),
            part => self.parts.contains(&part),
        }
    }
}
