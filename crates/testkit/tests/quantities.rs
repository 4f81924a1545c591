//! How many at once: what each rule promises of the law, and a broken twin that the same measure catches.

mod common;

use common::{
    EvenChance, Reveals, ZERO, blank, distance, generator, law, oracle, orders, scheduled,
    stepwise, together,
};
use conjoint_core::draw::Argmax;
use conjoint_core::order::{Entropy, MaxProb};
use conjoint_core::policy::{Dilated, Klass, Origin, SlowFast};
use conjoint_core::schedule::{
    Cosine, EntropyBound, Factor, Linear, LladaEven, Progress, Ranking, Threshold,
};
use conjoint_core::strategy::{self, Strategy as Unmasking};
use conjoint_core::unmasker::{AdaptiveJoint, Bound, ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Error, Generator, Next, SamplerLayer, Schedule, TokenId, Unmasker, View};
use conjoint_testkit::{ExactRefiner, Law, NoisyRefiner, StaleRefiner, TabularJoint};
use proptest::prelude::*;
use std::sync::Arc;

/// A joint of 3 bits, some of whose sequences are impossible, so that some positions are certain.
fn with_certainties() -> impl Strategy<Value = TabularJoint> {
    let weight = prop_oneof![2 => Just(0.0), 3 => 0.1f64..1.0];
    let weights = prop::collection::vec(weight, 8);
    weights.prop_filter_map("all zero", |weights| TabularJoint::new(3, 2, &weights).ok())
}

/// Two fair coins that agree, before them one that is certain.
fn certain_and_coins() -> TabularJoint {
    TabularJoint::new(3, 2, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).unwrap()
}

/// Total variation between the joint and `strategy` under `schedule`.
fn off(
    joint: &TabularJoint,
    schedule: impl Schedule + 'static,
    strategy: impl Into<Unmasking>,
) -> f64 {
    let generator = scheduled(&Generator::new(oracle(joint)).unmasker(strategy), schedule);
    distance(&generator, joint, &joint.masked())
}

proptest! {
    #![proptest_config(common::cases(48))]

    /// Beside one token only certain ones are revealed, in whatever order they are ranked.
    #[test]
    fn tight_bounds_are_exact(joint in with_certainties()) {
        for (name, order) in orders() {
            let marginal = || Marginal::new(order.clone());
            let threshold = off(&joint, Threshold::new(1.0).unwrap(), marginal());
            prop_assert!(threshold < ZERO, "threshold, {name}: {threshold}");
            let bound = off(&joint, EntropyBound::new(0.0).unwrap(), marginal());
            prop_assert!(bound < ZERO, "entropy bound, {name}: {bound}");
        }
    }

    /// Each step is within γ of the joint, and of T positions at most ⌊T/2⌋ steps reveal several.
    #[test]
    fn an_entropy_bound_bounds_the_divergence(
        symbols in 2usize..=3, alpha in 0.1f64..2.0, gamma in 0.0f64..0.5, seed: u64,
    ) {
        let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
        let divergence = divergence(&joint, EntropyBound::new(gamma).unwrap());
        prop_assert!(divergence <= 2.0 * gamma + ZERO, "{divergence}, γ = {gamma}");
    }

    #[test]
    fn dilated_groups(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, together(Dilated::default())), &joint);
        prop_assert!(law.total_variation(&stepwise(&joint, &[0, 1, 0, 1])) < ZERO);
    }

    /// One position, and one position of a block, is exact; one step is the product of marginals.
    #[test]
    fn origin_falls_as_it_should(alpha in 0.2f64..2.0, steps in 1usize..=3, seed: u64) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let origin = |steps| together(Origin::new(steps).unwrap());
        let generator = Generator::new(oracle(&joint)).unmasker(origin(steps));
        let expected = falling(&joint, &shares(steps));
        prop_assert!(law(&generator, &joint).total_variation(&expected) < ZERO);
        let blocks = Generator::new(oracle(&joint)).unmasker(origin(3 * steps));
        let blocks = blocks.block_length(1).unwrap();
        prop_assert!(distance(&blocks, &joint, &joint.masked()) < ZERO);
    }

    #[test]
    fn an_adaptive_joint_is_exact_for_every_bound(
        joint in with_certainties(), k in 1usize..=3, c in 0.0f64..=1.0, h in 0.0f64..1.0,
    ) {
        for (name, order) in orders() {
            for bound in [Bound::Confidence(c), Bound::Entropy(h)] {
                let adaptive = AdaptiveJoint::new(ExactRefiner, bound).unwrap().order(order.clone());
                let distance = distance(&generator(&joint, k, adaptive), &joint, &joint.masked());
                prop_assert!(distance < ZERO, "{name}, {bound:?}, K = {k}: {distance}");
            }
        }
    }
}

fn divergence(joint: &TabularJoint, schedule: impl Schedule + 'static) -> f64 {
    let generator = Generator::new(oracle(joint)).unmasker(Marginal::new(Entropy));
    joint.kl(&law(&generator.schedule(schedule), joint))
}

/// A schedule of the given rule.
struct Rule<F>(F);

impl<F: Fn(&[f64], &[f64]) -> usize + Send + Sync> Schedule for Rule<F> {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, _: &Progress, ranked: Ranking<'_>) -> usize {
        let entropies: Vec<f64> = ranked.iter().map(|c| c.stats.entropy).collect();
        let confidences: Vec<f64> = ranked.iter().map(|c| c.confidence).collect();
        (self.0)(&confidences, &entropies)
    }
}

/// Looking only at the best candidate, or at the mean entropy rather than the sum, is not enough.
#[test]
fn broken_bounds_are_caught() {
    let joint = certain_and_coins();
    let best_only = |c: &[f64], _: &[f64]| if c[0] >= 1.0 { c.len() } else { 1 };
    let distance = off(&joint, Rule(best_only), Marginal::new(MaxProb));
    assert!((distance - 0.5).abs() < ZERO, "{distance}");
    assert!(off(&joint, Threshold::new(0.5).unwrap(), Marginal::new(MaxProb)) > 0.4);

    let gamma = 0.6;
    let mean = move |_: &[f64], h: &[f64]| {
        let fits = |&k: &usize| h[..k - 1].iter().sum::<f64>() / k as f64 <= gamma;
        (1..=h.len()).filter(fits).max().unwrap_or(1)
    };
    let coins = TabularJoint::new(4, 2, &{
        let mut weights = [0.0; 16];
        (weights[0], weights[15]) = (1.0, 1.0);
        weights
    });
    let coins = coins.unwrap();
    assert!(divergence(&coins, Rule(mean)) > 2.0 * gamma);
    assert!(divergence(&coins, EntropyBound::new(gamma).unwrap()) < ZERO);
    // The bound is no empty one: with a large γ the law is off, if within it.
    assert!(divergence(&coins, EntropyBound::new(1.0).unwrap()) > 0.5);
}

/// By how much the tokens of any step are less probable, together, than the most probable combination;
/// 1 if they are impossible.
fn short_of_the_mode(joint: &TabularJoint, schedule: Factor) -> (f64, usize) {
    let greedy = Generator::new(oracle(joint)).unmasker(Marginal::new(MaxProb)).draw(Argmax);
    let mut reveals = Reveals::default();
    greedy.schedule(schedule).run(vec![blank(joint)], &mut reveals).unwrap();
    let (mut seen, mut short, mut most) = (joint.masked(), 0.0_f64, 0);
    for step in reveals.0.chunk_by(|a, b| a.step == b.step) {
        let Ok(given) = joint.given(&seen) else { return (1.0, most) };
        let of_step = given.map(|x| step.iter().map(|reveal| x[reveal.position]).collect());
        let mode = of_step.iter().map(|(_, p)| p).fold(0.0, f64::max);
        let chosen: Vec<TokenId> = step.iter().map(|reveal| reveal.token).collect();
        short = short.max(mode - of_step.probability(&chosen));
        most = most.max(step.len());
        step.iter().for_each(|reveal| seen[reveal.position] = reveal.token);
    }
    (short, most)
}

/// Fast-dLLM's Theorem 1: greedy decoding in parallel is greedy decoding of the joint, up to f = 1.
#[test]
fn a_factor_of_one_finds_the_mode() {
    let (mut several, mut broken) = (0, 0.0_f64);
    for seed in 0..300 {
        let joint = TabularJoint::random(4, 3, 0.02 + 0.001 * seed as f64, seed).unwrap();
        let (short, most) = short_of_the_mode(&joint, Factor::default());
        assert!(short < ZERO, "seed {seed}: {short}");
        several += usize::from(most > 1);
        broken = broken.max(short_of_the_mode(&joint, Factor::new(3.0).unwrap()).0);
    }
    assert!(several > 50 && broken > 0.1, "{several}, {broken}");
}

/// A finite schedule with as many steps as positions and one token in each is exact.
#[test]
fn finite_schedules_with_one_token_a_step_are_exact() {
    let joint = TabularJoint::random(3, 3, 0.5, 12).unwrap();
    assert!(off(&joint, Linear::new(3).unwrap(), Marginal::default()) < ZERO);
    assert!(off(&joint, LladaEven::new(3).unwrap(), Marginal::default()) < ZERO);
    // So many steps that none has two: idle ones cost nothing.
    assert!(off(&joint, Cosine::new(40).unwrap(), Marginal::default()) < ZERO);
    // The floor rule leaves two for the last step.
    assert!(off(&joint, Cosine::floor(3).unwrap(), Marginal::default()) > 0.05);
    assert!(off(&joint, Linear::new(2).unwrap(), Marginal::default()) > 0.05);
}

/// With strides of three, four positions fall together.
#[test]
fn other_groups_are_another_law() {
    let joint = TabularJoint::random(4, 2, 0.5, 7).unwrap();
    let law = law(&generator(&joint, 1, together(Dilated::new(3).unwrap())), &joint);
    assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    assert!(law.total_variation(&stepwise(&joint, &[0, 1, 0, 1])) > 0.01);
}

/// The probability that `Origin` reveals a position in each of S steps.
fn shares(steps: usize) -> Vec<f64> {
    let mut shares = vec![(1.0 - 1e-3) / steps as f64; steps];
    shares[steps - 1] += 1e-3;
    shares
}

/// The law if each position falls into step i with probability `shares[i]`, whatever the others do.
fn falling(joint: &TabularJoint, shares: &[f64]) -> Law {
    let mut law = Law::default();
    for mut assignment in 0..shares.len().pow(joint.length() as u32) {
        let mut steps = vec![0; joint.length()];
        for step in &mut steps {
            *step = assignment % shares.len();
            assignment /= shares.len();
        }
        let weight: f64 = steps.iter().map(|&step| shares[step]).product();
        stepwise(joint, &steps).iter().for_each(|(x, p)| law.add(x.to_vec(), weight * p));
    }
    law
}

/// Two coins that agree: q = Σ P(step i)² is the probability that they are drawn independently.
#[test]
fn origin_on_two_coins() {
    let coins = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    for steps in 1..=4 {
        let q: f64 = shares(steps).iter().map(|share| share * share).sum();
        let linear = || Linear::new(steps).unwrap();
        let origin = off(&coins, linear(), together(Origin::new(steps).unwrap()));
        assert!((origin - 0.5 * q).abs() < ZERO, "S = {steps}: {origin}");
        if steps > 2 {
            let even = off(&coins, linear(), EvenChance::default());
            assert!((even - 0.5 * q).abs() > 0.005, "S = {steps}: {even}");
        }
    }
    assert!(Origin::new(0).is_err());
}

/// Broken on purpose: looks at how probable the *drawn* token is, and puts an improbable one back.
#[derive(Clone)]
struct PuttingBack(Arc<dyn SamplerLayer>);

impl Unmasker for PuttingBack {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        let drawn = view.draw(best)?;
        if view.round() > 0 && drawn.probability < 0.5 {
            return Ok(Next::EndStep);
        }
        view.reveal(best, drawn);
        Ok(Next::Refine)
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.0)
    }
}

#[test]
fn putting_tokens_back_is_caught() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let putting_back = generator(&joint, 3, PuttingBack(Arc::new(ExactRefiner)));
    let distance = distance(&putting_back, &joint, &joint.masked());
    assert!(distance > 0.05, "{distance}");
}

/// Between `LearnedJoint` and one token a forward, token for token; the stricter, the more forwards.
#[test]
fn an_adaptive_joint_between_its_ends() {
    let joint = TabularJoint::random(5, 3, 0.5, 9).unwrap();
    let canvases = vec![blank(&joint); 100];
    let noisy = NoisyRefiner::new(1.0, 3).unwrap();
    let run = |strategy: Unmasking| {
        generator(&joint, 5, strategy).run(canvases.clone(), &mut ()).unwrap()
    };
    let adaptive = |c| run(AdaptiveJoint::new(noisy, Bound::Confidence(c)).unwrap().into());
    assert_eq!(adaptive(0.0), run(LearnedJoint::new(noisy).into()));
    let tokens = |outputs: Vec<conjoint_core::Output>| -> Vec<Vec<TokenId>> {
        outputs.into_iter().map(|output| output.tokens).collect()
    };
    let sequential = tokens(run(ExactSequential::default().into()));
    let strict = adaptive(1.0);
    assert!(strict.iter().all(|output| (output.denoiser_calls, output.sampler_calls) == (5, 4)));
    assert_eq!(tokens(strict), sequential);
    let forwards = |c| adaptive(c).iter().map(|output| output.denoiser_calls).sum::<usize>();
    let counts = [0.0, 0.5, 0.7, 0.9, 1.0].map(forwards);
    assert!(counts.is_sorted() && counts[0] == 100 && counts[2] > 100, "{counts:?}");
}

/// A layer that learnt nothing draws independently; the bound says of what. Two bits that agree are 0 with
/// probability 0.9, two further ones with 0.5.
#[test]
fn a_bound_limits_the_harm_of_a_bad_layer() {
    let mut weights = [0.0; 16];
    (weights[0b0000], weights[0b0011], weights[0b1100], weights[0b1111]) = (0.45, 0.45, 0.05, 0.05);
    let joint = TabularJoint::new(4, 2, &weights).unwrap();
    // Independent, the first two agree with probability .81 + .01, the others with .5.
    for (bound, expected) in [(0.0, 1.0 - 0.82 * 0.5), (0.8, 1.0 - 0.82), (1.0, 0.0)] {
        let adaptive = AdaptiveJoint::new(StaleRefiner, Bound::Confidence(bound)).unwrap();
        let distance = distance(&generator(&joint, 4, adaptive), &joint, &joint.masked());
        assert!((distance - expected).abs() < ZERO, "{bound}: {distance}, expected {expected}");
    }
}

/// Fewer forwards than positions where the model is sure: the adaptive rules do adapt.
#[test]
fn sure_rows_cost_fewer_forwards() {
    let sure = TabularJoint::new(4, 2, &{
        let mut weights = [0.001; 16];
        weights[5] = 1.0;
        weights
    });
    let unsure = TabularJoint::random(4, 2, 1e6, 1).unwrap();
    let forwards = |joint: &TabularJoint, schedule: Arc<dyn Schedule>, strategy: Unmasking| {
        let generator = scheduled(&Generator::new(oracle(joint)).unmasker(strategy), schedule);
        let generator = generator.draw(Argmax);
        generator.run(vec![blank(joint)], &mut ()).unwrap()[0].denoiser_calls
    };
    let sure = sure.unwrap();
    let schedules: [Arc<dyn Schedule>; 3] = [
        Arc::new(Threshold::default()),
        Arc::new(Factor::default()),
        Arc::new(EntropyBound::new(0.3).unwrap()),
    ];
    for schedule in schedules {
        let marginal = || Marginal::new(MaxProb).into();
        assert_eq!(forwards(&sure, schedule.clone(), marginal()), 1);
        assert_eq!(forwards(&unsure, schedule, marginal()), 4);
    }
    let one: Arc<dyn Schedule> = Arc::new(conjoint_core::schedule::TokensPerStep::new(1).unwrap());
    let slow_fast = || strategy::slow_fast(SlowFast::default());
    assert_eq!(forwards(&sure, one.clone(), slow_fast()), 1);
    assert_eq!(forwards(&unsure, one.clone(), slow_fast()), 4);
    // The first row has nothing to be compared with; the second is stable for one step.
    let klass = || strategy::klass(Klass::new(0.9, 0.01, 1).unwrap());
    assert_eq!(forwards(&sure, one.clone(), klass()), 2);
    assert_eq!(forwards(&unsure, one, klass()), 4);
}
