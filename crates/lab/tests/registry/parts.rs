//! The registry's entries, made over the made-up models of the conformance suite.

use std::sync::Arc;

use conjoint::order::PlackettLuce;
use conjoint::prelude::*;
use conjoint::strategy::Strategy;
use conjoint::unmasker::{Control, DynUnmasker};
use conjoint::{Autoregressive, Error as SamplingError};
use conjoint_lab::Registry;
use conjoint_lab::registry::{Conformance, Context, UnmaskerEntry};
use conjoint_testkit::conformance::{ProbeLayer, ProbeScorer, Suite};
use conjoint_testkit::{TabularDenoiser, TabularJoint};

/// The texts of an entry's specs. `{FILE}` becomes a file of token counts.
pub fn specs(name: &str, conformance: Conformance) -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/counts.json");
    let specs = match conformance.specs {
        [] => vec![name],
        specs => specs.to_vec(),
    };
    specs.into_iter().map(|spec| spec.replace("{FILE}", file)).collect()
}

/// The suite with the allowances of an entry.
pub fn suite(conformance: Conformance) -> Suite {
    let suite = Suite::default().moves_per_position(conformance.moves_per_position);
    if conformance.extra_forwards { suite.extra_forwards() } else { suite }
}

/// Every order of the registry, and one at a temperature.
pub fn orders(registry: &Registry) -> Vec<(String, Arc<dyn Order>)> {
    let mut orders = Vec::new();
    for entry in registry.orders() {
        for spec in specs(entry.name(), entry.conformance()) {
            let order = registry.order(&spec).unwrap().order();
            orders.push((spec, order));
        }
    }
    let at_temperature: Arc<dyn Order> = Arc::new(PlackettLuce::new(Entropy, 0.5).unwrap());
    orders.push(("entropy at temperature 0.5".to_owned(), at_temperature));
    orders
}

/// The parts of the suite for every strategy. A total of 8 steps divides over the suite's blocks.
fn context(needs_steps: bool) -> Context {
    let scorer: Arc<dyn Autoregressive> = Arc::new(ProbeScorer);
    let context = Context::new().with_sampler_layer(ProbeLayer).with_scorer(scorer);
    if needs_steps { context.with_schedule(Linear::new(8).unwrap()) } else { context }
}

/// Makes a strategy of the registry, in an order if one is given.
pub fn strategy(registry: &Registry, spec: &str, order: Option<&Arc<dyn Order>>) -> Strategy {
    let unmasker = registry.unmasker(spec).unwrap();
    let needs_steps = matches!(unmasker.how_many(), conjoint_lab::registry::HowMany::Steps);
    let context = context(needs_steps);
    let context = match order {
        Some(order) => context.with_order(order.clone()),
        None => context,
    };
    let strategy = unmasker.make(&context).unwrap();
    match order {
        // A strategy with a policy has the order in that.
        Some(order) if !strategy.has_policy() => {
            let order = order.clone();
            strategy.map_unmasker(|inner| InOrder { inner, order })
        }
        _ => strategy,
    }
}

/// The first strategy of an entry.
pub fn first(registry: &Registry, entry: &UnmaskerEntry) -> Strategy {
    strategy(registry, &specs(entry.name(), entry.conformance())[0], None)
}

/// The unmasker of a strategy.
pub fn unmasker(strategy: &Strategy) -> Box<dyn DynUnmasker> {
    let mut unmasker = None;
    let _ = strategy.clone().map_unmasker(|inner| {
        unmasker = Some(inner.clone());
        inner
    });
    unmasker.unwrap()
}

/// Which settings of a generator a strategy takes.
pub fn control(strategy: &Strategy) -> Control {
    unmasker(strategy).control()
}

/// Whether a strategy has a reviser of its own: it then rejects a second one.
pub fn has_reviser(strategy: &Strategy) -> bool {
    let coin = TabularJoint::new(1, 2, &[0.5, 0.5]).unwrap();
    let generator = Generator::new(TabularDenoiser::new(coin).unwrap()).unmasker(strategy.clone());
    match generator.reviser(Wino::default()).check(&[]) {
        Err(SamplingError::Combination { setting, .. }) => setting.contains("a second reviser"),
        _ => false,
    }
}

/// An unmasker in an order of its own.
#[derive(Clone)]
struct InOrder {
    inner: Box<dyn DynUnmasker>,
    order: Arc<dyn Order>,
}

impl Unmasker for InOrder {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), SamplingError> {
        self.inner.plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), SamplingError> {
        self.inner.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, SamplingError> {
        self.inner.decide(view)
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        Some(self.order.clone())
    }
}
