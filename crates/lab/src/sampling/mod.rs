//! The settings that all strategies share: filters, order, blocks, guidance and stops.

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

use crate::error::for_parameter;
use crate::model::Model;
use crate::registry::{
    CacheSpec, Context, HowMany, OrderSpec, Part, Registry, ReviserSpec, ScheduleSpec,
    UnmaskerSpec, Uses, combination, in_command_names, reject_unused,
};
use crate::scorer::ScorerSpec;
use crate::{Error, files, reason};

/// Filters, order, blocks, guidance and stops.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// The order of positions. By default the lowest entropy first.
    pub order: Option<OrderSpec>,
    /// The temperature T of the order: draws positions from softmax(score / T) instead of taking the best.
    #[doc(alias = "alg_temp")]
    pub order_temperature: Option<f64>,
    /// The length of blocks, which are generated from left to right. By default there is one block, or the blocks of a
    /// block-causal model's attention.
    #[doc(alias = "semi-autoregressive")]
    pub block_length: Option<u32>,
    /// The share of the last block that must be known before the next one opens. By default all of it.
    pub open_next_block: Option<f64>,
    /// The filters of the distributions that tokens are drawn from.
    pub filters: Filters,
    /// The scale of classifier-free guidance; 0 is none.
    #[doc(alias = "CFG", alias = "guidance scale")]
    pub cfg_scale: f64,
    /// The folder of another export, for its sampler layer. By default the model's own layer.
    pub sampler: Option<PathBuf>,
    /// The cache of keys and values. By default the model's own: an exact one with block-causal attention, otherwise none.
    #[doc(alias("KV cache", "use_cache"))]
    pub cache: Option<CacheSpec>,
    /// The autoregressive scorer, for strategies that take one.
    pub scorer: Option<ScorerSpec>,
    /// What ends a sequence before its last position. A sequence is finished once nothing before its first end is masked.
    pub stops: Stops,
    /// The largest number of sequences in one forward.
    pub batch_size: u16,
}

impl Default for Sampling {
    /// Temperature 1, lowest entropy first, the model's blocks or else one, batches of 16.
    fn default() -> Self {
        Self {
            order: None,
            order_temperature: None,
            block_length: None,
            open_next_block: None,
            filters: Filters::default(),
            cfg_scale: 0.0,
            sampler: None,
            cache: None,
            scorer: None,
            stops: Stops::default(),
            batch_size: 16,
        }
    }
}

impl Sampling {
    /// Rejects settings that none of the strategies takes. With `order_is_used`, something else takes the order.
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

    /// Completes a strategy: exact sampling by default, with one token per step. Checks that it takes every given setting.
    ///
    /// # Errors
    /// [`Error::Unused`] for a setting without effect, [`Error::Parameter`] for a schedule that does not fit.
    pub fn strategy(
        &self,
        registry: &Registry,
        (unmasker, schedule, reviser): (
            Option<&UnmaskerSpec>,
            Option<&ScheduleSpec>,
            Option<&ReviserSpec>,
        ),
    ) -> Result<(UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>), Error> {
        let unmasker = unmasker.cloned().map_or_else(|| registry.unmasker("exact"), Ok)?;
        let uses = [Uses { unmasker: &unmasker, scheduled: false }];
        self.check(&uses, false)?;
        let schedule = match schedule {
            None => ScheduleSpec::per_step(1)?,
            Some(schedule) => {
                reject_unused(("schedule", schedule), Part::Schedule, &uses)?;
                schedule.clone()
            }
        };
        unmasker.check(&schedule)?;
        Ok((unmasker, schedule, reviser.cloned()))
    }

    /// The generator with these settings, this strategy, schedule and reviser.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an invalid value or combination; the errors of the strategy.
    pub fn generator(
        &self,
        model: &Arc<Model>,
        unmasker: &UnmaskerSpec,
        schedule: &ScheduleSpec,
        reviser: Option<&ReviserSpec>,
    ) -> Result<Generator, Error> {
        let made = (unmasker, schedule, reviser);
        self.on(self.base(model, None)?, model, made, |strategy| strategy)
    }

    /// A generator with these settings and no strategy. Generators made [on](Self::on) one base can share forwards. A given
    /// `cache` replaces that of the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an invalid value.
    pub fn base(&self, model: &Arc<Model>, cache: Option<&CacheSpec>) -> Result<Generator, Error> {
        self.set(self.bare(model, cache)?, model)
    }

    /// A generator over the model with the guidance and the cache, and no other setting. Generators made on one share
    /// forwards. A given `cache` replaces that of the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `cfg scale` or `cache`.
    pub fn bare(&self, model: &Model, cache: Option<&CacheSpec>) -> Result<Generator, Error> {
        let denoiser = match cache.or(self.cache.as_ref()) {
            None => model.denoiser.clone(),
            Some(cache) if self.cfg_scale > 0.0 && cache.policy().is_some() => {
                let reason = "guidance computes each sequence a second time without its prompt, which is not cached: \
                              use `none`";
                return Err(Error::parameter("cache", cache, reason));
            }
            Some(cache) => Arc::new(cache.apply((*model.denoiser).clone())),
        };
        Ok(Generator::new(self.guide(denoiser)?))
    }

    /// The name of the cache in use.
    pub(crate) fn cache_name(&self, model: &Model, cache: Option<&CacheSpec>) -> String {
        let of_model = || match model.denoiser.manifest().attention_block {
            Some(block) if self.cfg_scale == 0.0 => format!("block-causal:{block}"),
            _ => "none".to_owned(),
        };
        cache.or(self.cache.as_ref()).map_or_else(of_model, ToString::to_string)
    }

    /// Sets all of these settings on a [bare](Self::bare) generator.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an invalid value.
    pub fn set(&self, bare: Generator, model: &Model) -> Result<Generator, Error> {
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

    /// Sets a strategy, a schedule and a reviser on `base`. `around` may wrap the strategy.
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
        // A strategy with a policy of its own has the schedule and the order in that policy.
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
            conjoint::Error::Combination { unmasker: inner, setting, reason } => {
                let parts = (unmasker, schedule, reviser);
                let reason = combination(parts, (inner, &setting, reason));
                Error::parameter("unmasker", unmasker, reason)
            }
            error => self.explain(("schedule", schedule), error),
        })?;
        Ok(generator)
    }

    /// The parts that these settings give to strategies.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the guidance, the order temperature or the scorer.
    pub fn context(&self, model: &Arc<Model>) -> Result<Context, Error> {
        let guided = self.guided(model)?;
        let has_order = self.order.is_some() || self.order_temperature.is_some();
        let order = has_order.then(|| self.order()).transpose()?;
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

    /// Adds the parameter that caused an error of a run. `name` and `value` are those of the schedule.
    pub fn explain(
        &self,
        (name, value): (&'static str, impl ToString),
        error: conjoint::Error,
    ) -> Error {
        use conjoint::Error as Cause;
        let (name, value) = match &error {
            Cause::TooFewSteps { .. } | Cause::NeedsSteps { .. } => (name, value.to_string()),
            Cause::BlockNotAligned { block, .. } => ("block length", block.to_string()),
            Cause::EmptyRow { .. } => match self.filters.bans() {
                Some(bans) => ("ban", bans),
                None => return error.into(),
            },
            // The only parameter that depends on other settings: all others are checked where they are set.
            Cause::Parameter { name: "steps with overlapping blocks", .. } => {
                ("open next block", self.open_next_block.unwrap_or_default().to_string())
            }
            _ => return error.into(),
        };
        let reason = in_command_names(&reason(&error, &value));
        Error::Parameter { name, value, reason }
    }

    /// The passes of the model in a forward, which equal those of the layer in a sampler pass: 2 with guidance, otherwise 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the guidance.
    pub fn passes(&self, model: &Model) -> Result<usize, Error> {
        Ok(self.guided(model)?.passes())
    }

    fn guided(&self, model: &Model) -> Result<ClassifierFree<Arc<OnnxDenoiser>>, Error> {
        self.guide(model.denoiser.clone())
    }

    fn guide(&self, model: Arc<OnnxDenoiser>) -> Result<ClassifierFree<Arc<OnnxDenoiser>>, Error> {
        let w = self.cfg_scale;
        for_parameter("cfg scale", w, ClassifierFree::new(model, w))
    }

    /// The checksum of the file that the order was made from, if any.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `order` if the file cannot be read.
    pub fn order_checksum(&self) -> Result<Option<String>, Error> {
        let file = self.order.as_ref().and_then(OrderSpec::file);
        file.map(|file| for_parameter("order", file.display(), files::checksum(file))).transpose()
    }

    /// The name of the order.
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
            Some(t) => {
                Arc::new(for_parameter("order temperature", t, PlackettLuce::new(order, t))?)
            }
        })
    }

    /// All settings that decide the texts, in one line. Strategy, schedule, seed and sampler layer are not among them.
    pub fn description(&self) -> String {
        let Self { order_temperature, block_length, open_next_block, cfg_scale, scorer, .. } = self;
        // Only a given cache is named, so that folders of runs without one keep their settings.
        let cache =
            self.cache.as_ref().map_or_else(String::new, |cache| format!(", cache {cache}"));
        let (order, stops) = (self.order_name(), &self.stops);
        let filters = self.filters.description();
        format!(
            "order {order} {order_temperature:?}, blocks {block_length:?} {open_next_block:?}, {filters}, \
             cfg {cfg_scale}, scorer {scorer:?}, stop at {stops:?}{cache}"
        )
    }
}
