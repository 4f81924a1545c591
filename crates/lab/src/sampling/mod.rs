//! From what, where and how many at a time tokens are drawn: the settings that all strategies share.

mod banned;
mod filters;
mod stops;

use std::path::PathBuf;
use std::sync::Arc;

use conjoint::guidance::ClassifierFree;
use conjoint::order::PlackettLuce;
use conjoint::prelude::*;
use conjoint::strategy::Strategy;

pub use banned::Banned;
pub use filters::Filters;
pub use stops::Stops;

use crate::error::refused;
use crate::model::Model;
use crate::registry::{
    Context, HowMany, OrderSpec, Part, ReviserSpec, ScheduleSpec, UnmaskerSpec, Uses, reject_unused,
};
use crate::scorer::ScorerSpec;
use crate::{Error, files};

/// From what, and where, and how many at a time tokens are drawn.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// Where tokens are revealed first; by default the lowest entropy.
    pub order: Option<OrderSpec>,
    /// Draws positions from softmax(score / T) of the order instead of taking the best.
    pub order_temperature: Option<f64>,
    /// Generates in blocks of this many tokens, from left to right; by default in one block.
    pub block_length: Option<u32>,
    /// Opens the next block once this share of the last one is known; by default once it is full.
    pub open_next_block: Option<f64>,
    /// From what tokens are drawn.
    pub filters: Filters,
    /// Classifier-free guidance: how far beyond the model without the prompt; 0 is none.
    pub cfg_scale: f64,
    /// The folder of another export whose sampler layer to use; by default the model's own.
    pub sampler: Option<PathBuf>,
    /// The autoregressive scorer of strategies that take one.
    pub scorer: Option<ScorerSpec>,
    /// What ends a sequence before its last position: it is finished once nothing before its first end is masked.
    pub stops: Stops,
    /// The largest number of sequences in one forward.
    pub batch_size: u16,
}

impl Default for Sampling {
    /// Temperature 1, lowest entropy first, one block, batches of 16.
    fn default() -> Self {
        Self {
            order: None,
            order_temperature: None,
            block_length: None,
            open_next_block: None,
            filters: Filters::default(),
            cfg_scale: 0.0,
            sampler: None,
            scorer: None,
            stops: Stops::default(),
            batch_size: 16,
        }
    }
}

impl Sampling {
    /// Rejects settings that none of the strategies about to run takes; the order may be used apart from them.
    ///
    /// # Errors
    /// [`Error::Unused`].
    pub fn check(&self, strategies: &[Uses<'_>], order_is_used: bool) -> Result<(), Error> {
        let Self { order, order_temperature, sampler, scorer, .. } = self;
        let given = [
            (order.as_ref().map(|order| ("order", order.to_string())), Part::Order),
            (order_temperature.map(|t| ("order temperature", t.to_string())), Part::Order),
            (
                sampler.as_ref().map(|folder| ("sampler", folder.display().to_string())),
                Part::Sampler,
            ),
            (scorer.as_ref().map(|scorer| ("scorer", scorer.to_string())), Part::Scorer),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(given, part)| Some((given?, part)))
            .filter(|(_, part)| !(order_is_used && *part == Part::Order));
        given.try_for_each(|(given, part)| reject_unused(given, part, strategies))
    }

    /// The generator that these settings, this strategy, this schedule and this reviser describe.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what cannot be used, or does not go together; and those of the strategy.
    pub fn generator(
        &self,
        model: &Arc<Model>,
        unmasker: &UnmaskerSpec,
        schedule: &ScheduleSpec,
        reviser: Option<&ReviserSpec>,
    ) -> Result<Generator, Error> {
        let made = (unmasker, schedule, reviser);
        self.on(self.base(model)?, model, made, |strategy| strategy)
    }

    /// A generator with all of these settings and no strategy. Those made [on](Self::on) one base can share forwards.
    ///
    /// # Errors
    /// [`Error::Parameter`] names what cannot be used.
    pub fn base(&self, model: &Arc<Model>) -> Result<Generator, Error> {
        self.set(self.bare(model)?, model)
    }

    /// A generator over the model, guided if it is to be, with nothing else set.
    pub(crate) fn bare(&self, model: &Model) -> Result<Generator, Error> {
        Ok(Generator::new(self.guided(model)?))
    }

    /// A [bare](Self::bare) generator with all of these settings.
    pub(crate) fn set(&self, bare: Generator, model: &Model) -> Result<Generator, Error> {
        let vocabulary = model.denoiser.vocabulary();
        let mut generator = bare
            .ban(self.filters.banned(vocabulary)?)
            .filter(self.filters.filter(vocabulary, &self.stops.ends(model)?)?)
            .batch_size(usize::from(self.batch_size))?;
        generator = self.stops.apply(generator, model)?;
        if self.filters.is_greedy() {
            generator = generator.draw(Argmax);
        }
        if let Some(length) = self.block_length {
            generator = generator.block_length(length as usize)?;
        }
        if let Some(share) = self.open_next_block {
            generator = generator.open_next_block_at(share)?;
        }
        Ok(generator)
    }

    /// The `base` with a strategy, a schedule and a reviser, and something `around` the strategy.
    ///
    /// # Errors
    /// Those of [`generator`](Self::generator).
    pub fn on(
        &self,
        base: Generator,
        model: &Arc<Model>,
        (unmasker, schedule, reviser): (&UnmaskerSpec, &ScheduleSpec, Option<&ReviserSpec>),
        around: impl FnOnce(Strategy) -> Strategy,
    ) -> Result<Generator, Error> {
        let context = self.context(model)?;
        let context = match schedule.quantity() {
            None => context,
            Some(quantity) => context.with_schedule(quantity),
        };
        let strategy = unmasker.make(&context)?;
        let has_policy = strategy.has_policy();
        let mut generator = base.unmasker(around(strategy));
        // A strategy with a policy of its own has put a schedule and an order into that.
        let takes_schedule =
            matches!(unmasker.how_many(), HowMany::Schedule | HowMany::Steps) && !has_policy;
        if takes_schedule || schedule.quantity().is_none() {
            generator = schedule.apply(generator);
        }
        if let Some(order) = context.order().filter(|_| unmasker.takes(Part::Order) && !has_policy)
        {
            generator = generator.order(order);
        }
        if let Some(reviser) = reviser {
            generator = reviser.apply(generator);
        }
        generator.check(&[]).map_err(|error| match error {
            conjoint::Error::Combination { .. } => Error::parameter("unmasker", unmasker, error),
            error => self.explain(("schedule", schedule), error),
        })?;
        Ok(generator)
    }

    /// What strategies are made of under these settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the guidance, the order temperature or the scorer.
    pub fn context(&self, model: &Arc<Model>) -> Result<Context, Error> {
        let guided = self.guided(model)?;
        let asked = self.order.is_some() || self.order_temperature.is_some();
        let order = asked.then(|| self.order()).transpose()?;
        let scorer = self.scorer.as_ref().map(|scorer| model.scorer(scorer)).transpose()?;
        let (model, folder) = (model.clone(), self.sampler.clone());
        let layer = move || {
            let layer = model.sampler_layer(folder.as_deref())?;
            Ok(layer.map(|layer| Arc::new(guided.sampler_layer(layer)) as Arc<dyn SamplerLayer>))
        };
        let context =
            Context::new().with_sampler_layers(layer).with_greedy(self.filters.is_greedy());
        let context = match order {
            None => context,
            Some(order) => context.with_order(order),
        };
        Ok(match scorer {
            None => context,
            Some(scorer) => context.with_scorer(scorer),
        })
    }

    /// Names the parameter behind an error of a run; `name` gave its schedule, as this value.
    pub fn explain(
        &self,
        (name, value): (&'static str, impl ToString),
        error: conjoint::Error,
    ) -> Error {
        use conjoint::Error as Cause;
        let (name, value) = match &error {
            Cause::StepsNotDivisible { .. } | Cause::NeedsSteps { .. } => (name, value.to_string()),
            Cause::BlockNotDividing { block, .. } => ("block length", block.to_string()),
            Cause::EmptyRow { .. } => match self.filters.bans() {
                Some(bans) => ("ban", bans),
                None => return error.into(),
            },
            Cause::Parameter { .. } if self.open_next_block.is_some() => {
                ("open next block", self.open_next_block.unwrap_or_default().to_string())
            }
            _ => return error.into(),
        };
        Error::parameter(name, value, error)
    }

    /// How many passes of the model a forward is, and of the layer a sampler pass: guidance takes two.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the guidance.
    pub fn passes(&self, model: &Model) -> Result<usize, Error> {
        Ok(self.guided(model)?.passes())
    }

    fn guided(&self, model: &Model) -> Result<ClassifierFree<Arc<OnnxDenoiser>>, Error> {
        let w = self.cfg_scale;
        refused("cfg scale", w, ClassifierFree::new(model.denoiser.clone(), w))
    }

    /// A checksum of the file that the order was made from, if any.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the order, if its file cannot be read.
    pub fn order_checksum(&self) -> Result<Option<String>, Error> {
        let file = self.order.as_ref().and_then(OrderSpec::file);
        file.map(|file| refused("order", file.display(), files::checksum(file))).transpose()
    }

    /// The order as it was named.
    pub fn order_name(&self) -> String {
        self.order.as_ref().map_or_else(|| "entropy".to_owned(), OrderSpec::to_string)
    }

    /// The order without its temperature.
    pub fn plain_order(&self) -> Arc<dyn Order> {
        self.order.as_ref().map_or_else(|| Arc::new(Entropy) as Arc<dyn Order>, OrderSpec::order)
    }

    fn order(&self) -> Result<Arc<dyn Order>, Error> {
        let order = self.plain_order();
        Ok(match self.order_temperature {
            None => order,
            Some(t) => Arc::new(refused("order temperature", t, PlackettLuce::new(order, t))?),
        })
    }

    /// All that decides what is sampled, but for strategy, schedule, seed and sampler layer.
    pub fn description(&self) -> String {
        let Self { order_temperature, block_length, open_next_block, cfg_scale, scorer, .. } = self;
        let (order, stops) = (self.order_name(), &self.stops);
        let filters = self.filters.description();
        format!(
            "order {order} {order_temperature:?}, blocks {block_length:?} {open_next_block:?}, {filters}, \
             cfg {cfg_scale}, scorer {scorer:?}, stop at {stops:?}"
        )
    }
}
