//! Tests a custom strategy: the conformance suite finds what is broken, and `exact_law` measures its bias.
//!
//!     cargo run --release --example check_strategy
//!
//! What to see: `Pairs` passes the suite with and without a sampler layer, so neither is broken. Without the
//! layer it is biased by 0.321, since it draws two dependent tokens independently; with an exact layer by 0.
//! The third strategy is broken, and the violation says how.
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint_testkit::{ExactRefiner, TabularDenoiser, TabularJoint, conformance, exact_law};

/// Reveals the two positions of lowest entropy in each step. With a sampler layer, a sampler pass conditions
/// the second token on the first.
#[derive(Clone)]
struct Pairs {
    layer: Option<Arc<dyn SamplerLayer>>,
}

impl Unmasker for Pairs {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        let candidates = view.candidates().len();
        let count = if self.layer.is_some() { 1 } else { candidates.min(2) };
        for rank in 0..count {
            let row = view.ranked(rank);
            let drawn = view.draw(row)?;
            view.reveal(row, drawn);
        }
        let refine = self.layer.is_some() && view.round() == 0 && candidates > 1;
        Ok(if refine { Next::Refine } else { Next::EndStep })
    }

    fn control(&self) -> Control {
        Control::Alone
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        self.layer.as_ref()
    }
}

/// A broken strategy: it reveals nothing.
#[derive(Clone)]
struct Stuck;

impl Unmasker for Stuck {
    fn decide(&mut self, _: &mut View<'_>) -> Result<Next, Error> {
        Ok(Next::EndStep)
    }
}

/// The total variation between the law of a strategy and that of the model: 0 for an exact strategy, at most 1.
fn bias(strategy: Pairs) -> anyhow::Result<f64> {
    let joint = TabularJoint::random(4, 3, 0.3, 11)?; // 4 positions, 3 symbols
    let generator = Generator::new(TabularDenoiser::new(joint.clone())?).unmasker(strategy);
    let law = exact_law(&generator, &Canvas::unconditional(4, joint.mask())?)?;
    Ok(joint.total_variation(&law))
}

fn main() -> anyhow::Result<()> {
    conformance::strategy("pairs", || Pairs { layer: None })?;
    println!("independent pairs: conform, total variation {:.3}", bias(Pairs { layer: None })?);
    // The suite runs on a model of its own and brings a sampler layer for it.
    conformance::strategy("pairs", || Pairs { layer: Some(Arc::new(conformance::ProbeLayer)) })?;
    let bias = bias(Pairs { layer: Some(Arc::new(ExactRefiner)) })?;
    println!("pairs with an exact layer: conform, total variation {bias:.3}");
    if let Err(violation) = conformance::strategy("stuck", || Stuck) {
        println!("violation: {violation}");
    }
    Ok(())
}
