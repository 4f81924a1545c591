//! Laws of the cache policies, over tabular models whose cache becomes stale.

#[path = "../common/mod.rs"]
mod common;

mod block_causal;
mod laws;
mod refresh;
mod selection;
mod sequences;
mod work;

use std::num::NonZeroU32;

use conjoint_core::cache::{BlockCausal, Delayed, Dual, DynCachePolicy, Prefix, Vicinity};
use conjoint_core::policy::Klass;
use conjoint_core::reviser::{Edit, Wino};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{LearnedJoint, Marginal, VerifiedJoint};
use conjoint_core::{Canvas, Denoiser, Generator, Output};
use conjoint_testkit::{CachedDenoiser, ExactRefiner, TabularDenoiser, TabularJoint};

type Cache = Box<dyn DynCachePolicy>;

/// The policies that approximate, each with a refresh every n forwards.
fn approximate(forwards: u32) -> Vec<(&'static str, Cache)> {
    let every = NonZeroU32::new(forwards).unwrap();
    vec![
        ("prefix", Box::new(Prefix::new().refresh_every(every))),
        ("prefix, delay 1", Box::new(Prefix::new().delay(1).refresh_every(every))),
        ("dual", Box::new(Dual::new().refresh_every(every))),
        ("vicinity 1", Box::new(Vicinity::new(1).refresh_every(every))),
        ("delayed 1", Box::new(Delayed::new(1).unwrap().refresh_every(every))),
        ("delayed 2", Box::new(Delayed::new(2).unwrap().refresh_every(every))),
    ]
}

/// All policies, with and without a refresh within a block.
fn all() -> Vec<(&'static str, Cache)> {
    let exact: (_, Cache) = ("block-causal", Box::new(BlockCausal::new(2).unwrap()));
    approximate(u32::MAX).into_iter().chain(approximate(2)).chain([exact]).collect()
}

/// A model of joints over 3 to 6 positions of two symbols. Symbol 1 ends a sequence.
fn model(seed: u64) -> CachedDenoiser {
    let joint = |length| TabularJoint::random(length, 2, 0.6, seed).unwrap();
    let first = TabularDenoiser::new(joint(3)).unwrap();
    let all = (4..7).fold(first, |all, length| all.and(joint(length)).unwrap());
    CachedDenoiser::new(all.with_eos(1).unwrap())
}

/// Canvases with an even number of positions to generate, with prompts and holes.
fn canvases() -> Vec<Canvas> {
    let tokens: [&[u32]; 6] = [
        &[2, 2, 2, 2, 2, 2],
        &[0, 2, 2, 2, 2],
        &[1, 2, 2],
        &[2, 2, 0, 2, 1],
        &[0, 0, 2, 2, 2, 2],
        &[2, 2, 2, 2],
    ];
    tokens.map(|tokens| Canvas::infill(tokens.to_vec(), 2).unwrap()).to_vec()
}

/// Strategies that reveal, remask and replace tokens, with queries and branches.
fn strategies() -> Vec<(&'static str, Strategy)> {
    let marginal = || Strategy::new(Marginal::default());
    vec![
        ("marginal", marginal()),
        ("joint", LearnedJoint::new(ExactRefiner).into()),
        ("verified", VerifiedJoint::new(ExactRefiner, 2).unwrap().into()),
        ("klass", marginal().policy(Klass::new(0.6, 0.1, 1).unwrap())),
        ("wino", marginal().reviser(Wino::new(0.6).unwrap())),
        ("edit", marginal().reviser(Edit::new(0.3).unwrap().post_steps(2))),
    ]
}

/// Generators over every strategy: in one block and in several, also in overlapping ones, and with early stops.
fn generators(model: impl Denoiser + 'static) -> Vec<(String, Generator)> {
    let base = Generator::new(model);
    let layouts = [
        ("one block", base.clone()),
        ("blocks", base.clone().block_length(2).unwrap()),
        ("overlapping", base.clone().block_length(2).unwrap().open_next_block_at(0.5).unwrap()),
        ("early stop", base.block_length(2).unwrap().stop_at_eos(true)),
    ];
    let mut all = Vec::new();
    for (layout, generator) in layouts {
        for (name, strategy) in strategies() {
            let generator = generator.clone().unmasker(strategy);
            let generator = common::scheduled(&generator, TokensPerStep::new(2).unwrap());
            all.push((format!("{name}, {layout}"), generator));
        }
    }
    all
}

/// Runs all canvases together, in batches of this size.
fn outputs(generator: &Generator, seed: u64, batch: usize) -> Vec<Output> {
    let generator = generator.clone().seed(seed).batch_size(batch).unwrap();
    generator.run(canvases(), &mut ()).unwrap()
}
