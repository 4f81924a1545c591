use std::sync::Arc;

use conjoint::Autoregressive;
use conjoint::prelude::*;

use crate::Error;

/// Opens the sampler layer, if there is one.
type OpenLayer = Arc<dyn Fn() -> Result<Option<Arc<dyn SamplerLayer>>, Error> + Send + Sync>;

/// The parts that strategies are made of, beside their parameters.
#[derive(Clone, Default)]
pub struct Context {
    order: Option<Arc<dyn Order>>,
    schedule: Option<Arc<dyn Schedule>>,
    layers: Option<OpenLayer>,
    scorer: Option<Arc<dyn Autoregressive>>,
    greedy: bool,
}

impl Context {
    /// An empty context: no order, schedule, sampler layer or scorer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the requested order.
    pub fn with_order(mut self, order: impl Order + 'static) -> Self {
        self.order = Some(Arc::new(order));
        self
    }

    /// Adds the schedule. Strategies with a policy of their own put it into that.
    pub fn with_schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Some(Arc::new(schedule));
        self
    }

    /// Adds a sampler layer.
    pub fn with_sampler_layer(self, layer: impl SamplerLayer + 'static) -> Self {
        let layer: Arc<dyn SamplerLayer> = Arc::new(layer);
        self.with_sampler_layers(move || Ok(Some(layer.clone())))
    }

    /// Adds a sampler layer that is opened when a strategy first needs it. `open` returns `None` if the model has none.
    pub fn with_sampler_layers(
        mut self,
        open: impl Fn() -> Result<Option<Arc<dyn SamplerLayer>>, Error> + Send + Sync + 'static,
    ) -> Self {
        self.layers = Some(Arc::new(open));
        self
    }

    /// Adds an autoregressive scorer.
    pub fn with_scorer(mut self, scorer: impl Autoregressive + 'static) -> Self {
        self.scorer = Some(Arc::new(scorer));
        self
    }

    /// Sets whether strategies take the most probable token instead of drawing one.
    pub fn with_greedy(mut self, greedy: bool) -> Self {
        self.greedy = greedy;
        self
    }

    /// The requested order, if any. A strategy needs it only for a policy of its own: the generator has it too.
    pub fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    /// The schedule, by default one token a step.
    pub fn schedule(&self) -> Arc<dyn Schedule> {
        self.schedule.clone().unwrap_or_else(|| Arc::new(TokensPerStep::ONE))
    }

    /// The total number of steps of the schedule.
    ///
    /// # Errors
    /// [`Error::Lacking`] if the schedule has no total.
    pub fn steps(&self) -> Result<usize, Error> {
        let lacking = "it needs a schedule with a total number of steps, such as linear:STEPS";
        self.schedule().steps().ok_or(Error::Lacking(lacking))
    }

    /// The sampler layer.
    ///
    /// # Errors
    /// [`Error::Lacking`] if there is none, and the errors of opening it.
    pub fn layer(&self) -> Result<Arc<dyn SamplerLayer>, Error> {
        let layer = self.layers.as_ref().map(|open| open()).transpose()?.flatten();
        layer.ok_or(Error::Lacking(
            "it needs a sampler layer, which this model's export does not have: give the folder of an export \
             that has one with `sampler`, or train one (`conjoint train sampler`) and export the model with it \
             (`conjoint export --sampler`)",
        ))
    }

    /// The autoregressive scorer.
    ///
    /// # Errors
    /// [`Error::Lacking`] if there is none.
    pub fn scorer(&self) -> Result<Arc<dyn Autoregressive>, Error> {
        let lacking = "it needs an autoregressive scorer: give `scorer`, such as ngram:3:FILE";
        self.scorer.clone().ok_or(Error::Lacking(lacking))
    }

    /// Whether to take the most probable token instead of drawing one.
    pub fn is_greedy(&self) -> bool {
        self.greedy
    }
}
