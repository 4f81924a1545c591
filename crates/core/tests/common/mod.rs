//! Helpers that the tests of several roles use.
#![allow(dead_code)] // each target uses a part

pub mod function_model;
pub mod moves;
pub mod policy_law;
pub mod process;

use std::sync::Arc;

use conjoint_core::draw::Argmax;
use conjoint_core::observer::Reveal;
use conjoint_core::order::{
    CertaintyPrior, Entropy, LeftToRight, Margin, MaxProb, PcSampler, PlackettLuce, Random, Raw,
};
use conjoint_core::policy::DynPolicy;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Control, Drawn, Marginal};
use conjoint_core::{
    Canvas, Draw, Error, Generator, Next, Observer, Order, Schedule, StepRequest, Stream, TokenId,
    Unmasker, View,
};
use conjoint_testkit::{Law, TabularDenoiser, TabularJoint, exact_law};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

/// A total variation below this bound counts as zero. The rounding of float32 logits causes about 1e-7.
pub const ZERO: f64 = 1e-6;

/// A configuration with this many cases of a property, the same ones in every run.
pub fn cases(cases: u32) -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(20_260_101);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// Every order of this crate by name. The names of orders with many branches end in "random".
pub fn orders() -> Vec<(&'static str, Arc<dyn Order>)> {
    vec![
        ("entropy", Arc::new(Entropy)),
        ("margin", Arc::new(Margin)),
        ("max prob", Arc::new(MaxProb)),
        ("random", Arc::new(Random)),
        ("left to right", Arc::new(LeftToRight)),
        ("raw entropy", Arc::new(Raw(Entropy))),
        ("raw margin", Arc::new(Raw(Margin))),
        ("raw max prob", Arc::new(Raw(MaxProb))),
        ("PC-sampler", Arc::new(PcSampler::new(&[5, 1, 0]).unwrap())),
        ("certainty prior", Arc::new(CertaintyPrior::new(1.0).unwrap())),
        ("entropy, random", Arc::new(PlackettLuce::new(Entropy, 0.5).unwrap())),
    ]
}

/// A generator over the oracle of `joint` that reveals `k` tokens a step with `strategy`.
pub fn generator(joint: &TabularJoint, k: usize, strategy: impl Into<Strategy>) -> Generator {
    over(oracle(joint), k, strategy)
}

/// The same over any oracle. A strategy that takes no schedule gets none.
pub fn over(oracle: TabularDenoiser, k: usize, strategy: impl Into<Strategy>) -> Generator {
    let generator = Generator::new(oracle).unmasker(strategy);
    scheduled(&generator, TokensPerStep::new(k).unwrap())
}

/// Independent draws at the positions that a policy selects.
pub fn together(policy: impl DynPolicy) -> Strategy {
    Strategy::new(Marginal::default()).policy(policy)
}

/// A generator with this schedule, if its strategy takes one.
pub fn scheduled(generator: &Generator, schedule: impl Schedule + 'static) -> Generator {
    let scheduled = generator.clone().schedule(schedule);
    match scheduled.check(&[]) {
        Err(Error::Combination { .. }) => generator.clone(),
        _ => scheduled,
    }
}

/// The exact denoiser of `joint`.
pub fn oracle(joint: &TabularJoint) -> TabularDenoiser {
    TabularDenoiser::new(joint.clone()).unwrap()
}

/// The joint's T positions, all masked.
pub fn blank(joint: &TabularJoint) -> Canvas {
    Canvas::unconditional(joint.length(), joint.mask()).unwrap()
}

/// The law of `generator` on a blank canvas.
pub fn law(generator: &Generator, joint: &TabularJoint) -> Law {
    let law = exact_law(generator, &blank(joint)).unwrap();
    assert!((law.total() - 1.0).abs() < 1e-9, "{}", law.total());
    law
}

/// Total variation between the law of `generator` and the joint, both given the revealed `tokens`.
pub fn distance(generator: &Generator, joint: &TabularJoint, tokens: &[TokenId]) -> f64 {
    let canvas = Canvas::infill(tokens.to_vec(), joint.mask()).unwrap();
    let law = exact_law(generator, &canvas).unwrap();
    assert!((law.total() - 1.0).abs() < 1e-9, "{}", law.total());
    law.total_variation(&joint.given(tokens).unwrap())
}

/// Broken on purpose: draws everywhere, then reveals the position with the highest drawn id. The position depends on the
/// token.
#[derive(Clone)]
pub struct Peeking;

impl Unmasker for Peeking {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let mut drawn: Vec<Drawn> = Vec::new();
        view.draw_all(view.rows(), &mut drawn)?;
        view.rank_by(|row| f64::from(drawn[row.index()].token));
        let best = view.ranked(0);
        view.reveal(best, drawn[best.index()]);
        Ok(Next::EndStep)
    }
}

/// Broken on purpose: reveals each masked position with probability 1/S at every step but the last.
#[derive(Clone, Default)]
pub struct EvenChance(Vec<usize>);

impl Unmasker for EvenChance {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let (canvas, progress) = (request.canvas(), *request.progress());
        let p = if progress.is_last() { 1.0 } else { 1.0 / progress.steps as f64 };
        self.0 = canvas.masked().filter(|_| request.stream().chance(p)).collect();
        if self.0.is_empty() {
            request.skip_forward(1);
        }
        Ok(())
    }

    fn control(&self) -> Control {
        Control::Steps
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        reveal(view, &self.0)
    }
}

/// Draws a token at each of these positions, and ends the step.
pub fn reveal(view: &mut View<'_>, positions: &[usize]) -> Result<Next, Error> {
    for row in view.rows() {
        if positions.contains(&view.row(row).position) {
            let drawn = view.draw(row)?;
            view.reveal(row, drawn);
        }
    }
    Ok(Next::EndStep)
}

/// Broken on purpose: draws with probability ∝ p².
pub struct Squaring;

impl Draw for Squaring {
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize {
        let squared: Vec<f32> = logits.iter().map(|logit| 2.0 * logit).collect();
        stream.categorical(&squared)
    }
}

/// The law of drawing position i in step `steps[i]`: in each step the product of the conditionals given all earlier steps.
pub fn stepwise(joint: &TabularJoint, steps: &[usize]) -> Law {
    let mut prefixes = vec![(joint.masked(), 1.0)];
    for step in 0..=steps.iter().copied().max().unwrap_or(0) {
        let together: Vec<usize> = (0..steps.len()).filter(|&i| steps[i] == step).collect();
        let extend = |(tokens, reached): (Vec<TokenId>, f64)| {
            let seen = tokens.clone();
            together.iter().fold(vec![(tokens, reached)], |drawn, &i| {
                let row = joint.conditional(&seen, i).unwrap();
                let pairs = drawn.iter().flat_map(|pair| (0..).zip(&row).map(move |t| (pair, t)));
                let next = |((tokens, reached), (token, p)): (&(Vec<TokenId>, f64), (_, &f64))| {
                    let mut tokens = tokens.clone();
                    tokens[i] = token;
                    (tokens, reached * p)
                };
                pairs.map(next).filter(|&(_, p)| p > 0.0).collect()
            })
        };
        prefixes = prefixes.into_iter().flat_map(extend).collect();
    }
    prefixes.into_iter().collect()
}

/// Four bits that are nearly always 0101.
pub fn nearly_certain() -> TabularJoint {
    let mut weights = [0.001; 16];
    weights[5] = 1.0;
    TabularJoint::new(4, 2, &weights).unwrap()
}

/// Four bits that are nearly uniform.
pub fn uncertain() -> TabularJoint {
    TabularJoint::random(4, 2, 1e6, 1).unwrap()
}

/// The forwards of a run with argmax draws.
pub fn forwards(
    joint: &TabularJoint,
    schedule: impl Schedule + 'static,
    strategy: impl Into<Strategy>,
) -> usize {
    let generator = scheduled(&Generator::new(oracle(joint)).unmasker(strategy), schedule);
    generator.draw(Argmax).run(vec![blank(joint)], &mut ()).unwrap()[0].denoiser_calls
}

/// Three bits, the last one the parity of the other two. Any two are independent, all three are not.
pub fn parity() -> TabularJoint {
    TabularJoint::new(3, 2, &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]).unwrap()
}

/// Records every reveal.
#[derive(Default)]
pub struct Reveals(pub Vec<Reveal>);

impl Observer for Reveals {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0.push(*reveal);
    }
}
