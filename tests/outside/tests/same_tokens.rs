//! The implementations of KLASS, WINO and the learned joint sampler in this crate draw the same tokens as the
//! built-in ones.

mod common;

use std::sync::Arc;

use common::{canvases, model};
use conjoint::policy::DynPolicy;
use conjoint::prelude::*;
use conjoint::reviser::DynReviser;
use conjoint::strategy::{self, Strategy};
use conjoint_outside::{Joint, KlassRule, NarrowOut, WideIn, klass, wino};
use conjoint_testkit::{ExactRefiner, NoisyRefiner};

const SEEDS: u64 = 20;

/// Compares the outputs of both for all seeds: with categorical and argmax draws, and in blocks of four.
/// Returns the number of tokens and of denoising steps over all runs.
fn assert_same(
    name: &str,
    own: impl Fn(Generator) -> Generator,
    built_in: impl Fn(Generator) -> Generator,
) -> (usize, usize) {
    let (mut drawn, mut steps) = (0, 0);
    let mut compare = |generator: Generator, what: &str| {
        for seed in 0..SEEDS {
            let run = |generator: Generator| generator.seed(seed).run(canvases(), &mut ()).unwrap();
            let (own, built_in) = (run(own(generator.clone())), run(built_in(generator.clone())));
            assert_eq!(own, built_in, "{name}, {what}, seed {seed}");
            drawn += own.iter().map(|output| output.drawn).sum::<usize>();
            steps += own.iter().map(|output| output.steps).sum::<usize>();
        }
    };
    let generator = Generator::new(model()).filter(Temperature::new(0.8).unwrap());
    compare(generator.clone(), "categorical");
    compare(generator.clone().draw(Argmax), "argmax");
    compare(generator.block_length(4).unwrap(), "in blocks");
    (drawn, steps)
}

/// How many tokens a strategy reveals, and how many it masks again, with seed 0.
fn count_moves(strategy: Strategy) -> [usize; 2] {
    let mut run = Generator::new(model()).unmasker(strategy).start(canvases()).unwrap();
    let mut moves = [0; 2];
    while !run.is_done() {
        for event in run.step().unwrap() {
            match event {
                Event::Reveal(_) => moves[0] += 1,
                Event::Remask { .. } => moves[1] += 1,
                _ => {}
            }
        }
    }
    moves
}

fn schedules() -> Vec<(&'static str, Arc<dyn Schedule>)> {
    vec![
        ("one", Arc::new(TokensPerStep::ONE)),
        ("two", Arc::new(TokensPerStep::new(2).unwrap())),
        ("linear", Arc::new(Linear::new(6).unwrap())),
        ("cosine with skipped steps", Arc::new(Cosine::new(16).unwrap())),
        ("threshold", Arc::new(Threshold::new(0.7).unwrap())),
        ("entropy bound", Arc::new(EntropyBound::new(0.5).unwrap())),
    ]
}

#[test]
fn klass_draws_the_same_tokens() {
    for (name, schedule) in schedules() {
        let (mut drawn, mut steps) = (0, 0);
        for (tau, epsilon, n) in [(0.9, 0.01, 2), (0.6, 0.05, 1), (0.3, 2.0, 2), (1.0, 0.1, 1)] {
            let own = || klass(KlassRule::new(tau, epsilon, n, schedule.clone()).unwrap());
            let built_in = || {
                let rule = Klass::new(tau, epsilon, n).unwrap().fallback(schedule.clone());
                strategy::klass(rule)
            };
            let name = format!("KLASS {tau} {epsilon} {n}, {name}");
            let (more_drawn, more_steps) =
                assert_same(&name, |g| g.unmasker(own()), |g| g.unmasker(built_in()));
            (drawn, steps) = (drawn + more_drawn, steps + more_steps);
        }
        // Positions have settled: fewer steps than tokens.
        assert!(name != "one" || steps < drawn, "{name}: {drawn} tokens in {steps} steps");
    }
}

#[test]
fn klass_without_drafts() {
    let own = KlassRule::new(0.5, 0.5, 1, TokensPerStep::ONE).unwrap();
    let built_in = Klass::new(0.5, 0.5, 1).unwrap();
    let with = |policy: Box<dyn DynPolicy>| {
        move |g: Generator| g.unmasker(LearnedJoint::new(ExactRefiner)).policy(policy.clone())
    };
    let (drawn, steps) =
        assert_same("KLASS with a sampler layer", with(own.boxed()), with(built_in.boxed()));
    assert!(steps < drawn, "{drawn} tokens in {steps} steps");
}

#[test]
fn wino_draws_the_same_tokens() {
    for (reveal, keep) in [(0.6, 0.9), (0.3, 0.5), (0.0, 0.9), (0.5, 0.0), (1.0, 1.0)] {
        let name = format!("WINO {reveal} {keep}");
        let built_in = || strategy::wino(reveal, keep).unwrap();
        assert_same(&name, |g| g.unmasker(wino(reveal, keep)), |g| g.unmasker(built_in()));
    }
    let [revealed, remasked] = count_moves(wino(0.0, 0.9));
    assert!(remasked > 0, "{revealed} reveals");
}

/// Each half of WINO also works with other parts.
#[test]
fn the_halves_of_wino_work_separately() {
    let wide = conjoint::schedule::WideThreshold::new(0.4).unwrap();
    assert_same(
        "wide in, marginal",
        |g| g.unmasker(Marginal::new(Margin)).schedule(WideIn { reveal: 0.4 }),
        |g| g.unmasker(Marginal::new(Margin)).schedule(wide),
    );
    let with = |reviser: Box<dyn DynReviser>| {
        move |g: Generator| {
            let g = g.unmasker(LearnedJoint::new(ExactRefiner)).reviser(reviser.clone());
            g.schedule(TokensPerStep::new(3).unwrap())
        }
    };
    let built_in = Wino::new(0.8).unwrap().boxed();
    assert_same("narrow out, learned joint", with(NarrowOut::new(0.8).boxed()), with(built_in));
}

#[test]
fn the_learned_joint_draws_the_same_tokens() {
    let noisy = NoisyRefiner::new(0.7, 5).unwrap();
    let layers: [(&str, Arc<dyn SamplerLayer>); 2] =
        [("exact", Arc::new(ExactRefiner)), ("noisy", Arc::new(noisy))];
    for (layer_name, layer) in layers {
        let (own, built_in) = (Joint::new(layer.clone()), LearnedJoint::new(layer));
        let pairs = [
            ("entropy", own.clone(), built_in.clone()),
            ("left to right", own.clone().order(LeftToRight), built_in.clone().order(LeftToRight)),
            ("random", own.clone().order(Random), built_in.clone().order(Random)),
            ("window", own.window(2), built_in.window(2).unwrap()),
        ];
        for (name, schedule) in schedules() {
            for (kind, own, built_in) in &pairs {
                assert_same(
                    &format!("joint by the {layer_name} layer, {kind}, {name}"),
                    |g| g.unmasker(own.clone()).schedule(schedule.clone()),
                    |g| g.unmasker(built_in.clone()).schedule(schedule.clone()),
                );
            }
        }
    }
}
