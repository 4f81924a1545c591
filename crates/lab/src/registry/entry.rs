//! Entries of the registry: a name, its parameters and a constructor.

use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::unmasker::Strategy;

use super::spec::{Default, Signature, Values};
use super::{Context, Part, Portions};
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

/// A schedule that can be named.
pub type ScheduleEntry = Entry<Arc<dyn Schedule>>;

/// An order that can be named.
pub type OrderEntry = Entry<Arc<dyn Order>>;

impl ScheduleEntry {
    /// A schedule of this name, with one line of help, made by `make`.
    pub fn new<S: Schedule + 'static>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>) -> Result<S, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>| -> Result<Arc<dyn Schedule>, Error> {
            Ok(Arc::new(make(values)?))
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
type MakeStrategy =
    Box<dyn Fn(&Values<'_>, &Context) -> Result<Box<dyn Strategy>, Error> + Send + Sync>;

/// A strategy that can be named, and what it is made of.
///
/// Without [`portions`](Self::portions) and [`takes`](Self::takes), it decides alone how many tokens a step reveals, and
/// takes neither order, sampler layer nor scorer. What it does not take, a comparison rejects instead of ignoring it.
///
/// A comparison's folder knows a strategy by its name. After a change of the strategy's code, choose another folder or
/// another name.
pub struct UnmaskerEntry {
    pub(crate) signature: Signature,
    pub(super) make: MakeStrategy,
    pub(super) portions: Portions,
    parts: Vec<Part>,
}

impl UnmaskerEntry {
    /// A strategy of this name, with one line of help, made by `make` from its parameters and the context.
    pub fn new<S: Strategy + 'static>(
        name: &'static str,
        summary: &'static str,
        make: impl Fn(&Values<'_>, &Context) -> Result<S, Error> + Send + Sync + 'static,
    ) -> Self {
        let make = move |values: &Values<'_>, context: &Context| {
            make(values, context).map(|strategy| Box::new(strategy) as Box<dyn Strategy>)
        };
        Self {
            signature: Signature::new(name, summary),
            make: Box::new(make),
            portions: Portions::Own,
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
    pub fn portions(mut self, portions: Portions) -> Self {
        self.portions = portions;
        self
    }

    /// Says what it is made of, beside its parameters and a schedule.
    pub fn takes(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        self
    }

    pub(super) fn is_made_of(&self, part: Part) -> bool {
        match part {
            Part::Schedule => matches!(self.portions, Portions::Schedule | Portions::Steps),
            part => self.parts.contains(&part),
        }
    }
}
