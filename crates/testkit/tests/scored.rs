//! Strategies that score drafts with a second model or check the sampler layer, and guidance: each
//! has the law that its docs claim, and a broken twin has not.

mod common;

use std::ops::Range;
use std::sync::Arc;

use common::{ZERO, blank, distance, generator, law, oracle, orders, over, parity};
use conjoint_core::draw::Argmax;
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::order::LeftToRight;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{
    ClippedJoint, Copula, EnergyResampling, ExactSequential, LearnedJoint, Marginal,
    PrefixAcceptance,
};
use conjoint_core::{
    Autoregressive, Canvas, Denoiser, DenseRows, Error, Generator, Next, Row, SamplerLayer,
    TokenId, Unmasker, View, reviser,
};
use conjoint_testkit::conformance::{self, ProbeLayer, ProbeScorer, Suite};
use conjoint_testkit::{
    ExactRefiner, ForgetfulAutoregressive, GoodnessOfFit, Law, NoisyRefiner, StaleRefiner,
    TabularAutoregressive, TabularDenoiser, TabularJoint, exact_law,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn exact(joint: &TabularJoint) -> TabularAutoregressive {
    TabularAutoregressive::new(joint.clone())
}

#[test]
fn conformance() {
    let pass = |name: &str, make: &dyn Fn() -> Strategy| {
        conformance::strategy(name, make).unwrap();
    };
    pass("energy resampling", &|| EnergyResampling::new(ProbeScorer).into());
    pass("prefix acceptance", &|| PrefixAcceptance::new(ProbeScorer).into());
    pass("greedy prefix acceptance", &|| PrefixAcceptance::new(ProbeScorer).greedy().into());
    pass("clipped joint", &|| ClippedJoint::new(ProbeLayer).into());
    let copula = || Copula::new(ProbeScorer);
    Suite::default().extra_forwards().strategy("copula", copula).unwrap();
}

/// A model that fails whenever it is asked.
#[derive(Clone)]
struct Failing;

impl Autoregressive for Failing {
    fn rows(&self, _: &[TokenId], _: Range<usize>) -> Result<DenseRows, Error> {
        Err(Error::model("the second model is down"))
    }
}

#[test]
fn a_failure_of_the_second_model_is_passed_on() {
    let joint = TabularJoint::random(3, 2, 1.0, 1).unwrap();
    let strategies: [Strategy; 3] = [
        EnergyResampling::new(Failing).into(),
        Copula::new(Failing).into(),
        PrefixAcceptance::new(Failing).into(),
    ];
    for strategy in strategies {
        let generator = generator(&joint, 2, strategy);
        let error = generator.run(vec![blank(&joint)], &mut ()).unwrap_err();
        assert!(error.to_string().contains("is down"), "{error}");
    }
}

mod energy_resampling {
    use super::*;

    /// Rows that others asked for before are not taken for those of later blocks.
    #[test]
    fn questions_of_a_reviser_change_nothing() {
        let joint = TabularJoint::random(6, 2, 0.5, 3).unwrap();
        let generator = || {
            let energy = EnergyResampling::new(exact(&joint)).completions(3).unwrap();
            Generator::new(oracle(&joint)).unmasker(energy).block_length(3).unwrap()
        };
        // It asks for the row of every revealed position, and doubts none.
        let asking = reviser::Hierarchical::new(1e-9).unwrap();
        for seed in 0..20 {
            let run = |generator: Generator| {
                generator.seed(seed).run(vec![blank(&joint)], &mut ()).unwrap()[0].tokens.clone()
            };
            assert_eq!(run(generator().reviser(asking.clone())), run(generator()), "{seed}");
        }
    }

    /// The law of keeping one of k draws from `q` with probability ∝ p/q, from the definition.
    fn resampled(p: &Law, q: &Law, k: u32) -> Law {
        let draws: Vec<(&[TokenId], f64)> = q.iter().collect();
        let mut law = Law::default();
        for tuple in 0..draws.len().pow(k) {
            let picks = (0..k).map(|j| draws[tuple / draws.len().pow(j) % draws.len()]);
            let picks: Vec<_> = picks.collect();
            let reached: f64 = picks.iter().map(|(_, q)| q).product();
            let weights: Vec<f64> = picks.iter().map(|(x, q)| p.probability(x) / q).collect();
            let total: f64 = weights.iter().sum();
            for (n, (x, _)) in picks.iter().enumerate() {
                let kept = if total > 0.0 { weights[n] / total } else { f64::from(n == 0) };
                law.add(x.to_vec(), reached * kept);
            }
        }
        law
    }

    fn at_once(joint: &TabularJoint, k: usize, scorer: impl Autoregressive + 'static) -> Law {
        let strategy = EnergyResampling::new(scorer).completions(k).unwrap();
        law(&generator(joint, joint.length(), strategy), joint)
    }

    proptest! {
        #![proptest_config(common::cases(24))]

        #[test]
        fn is_self_normalised_importance_resampling(
            symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
        ) {
            let joint = TabularJoint::random(2, symbols, alpha, seed).unwrap();
            let product = joint.product_of_marginals();
            for k in 1..=3 {
                let expected = resampled(&joint.law(), &product, k);
                let got = at_once(&joint, k as usize, exact(&joint));
                prop_assert!(got.total_variation(&expected) < ZERO, "k = {k}");
            }
        }
    }

    #[test]
    fn completions_that_the_scorer_rules_out_are_kept_only_together() {
        let parity = parity();
        let expected = resampled(&parity.law(), &parity.product_of_marginals(), 2);
        let got = at_once(&parity, 2, exact(&parity));
        assert!(got.total_variation(&expected) < ZERO);
        // Half of the draws are impossible; both are with probability 1/4.
        assert!((parity.total_variation(&got) - 0.25).abs() < ZERO);
    }

    #[test]
    fn more_completions_come_nearer() {
        let mut means = [0.0; 3];
        for seed in 0..20 {
            let joint = TabularJoint::random(2, 3, 0.3, seed).unwrap();
            for (k, mean) in (1..).zip(&mut means) {
                *mean += joint.total_variation(&at_once(&joint, k, exact(&joint))) / 20.0;
            }
        }
        assert!(means[1] < 0.75 * means[0] && means[2] < 0.85 * means[1], "{means:?}");
    }

    /// Positions beyond the block count: only the first of two is revealed, from the completion
    /// kept, and the second is then drawn from its true conditional. So it is not exact at K = 1,
    /// though both models are.
    #[test]
    fn later_blocks_are_completed_too() {
        let mut bias = 0.0;
        for seed in 0..20 {
            let joint = TabularJoint::random(2, 3, 0.3, seed).unwrap();
            let pairs = resampled(&joint.law(), &joint.product_of_marginals(), 2);
            let first = pairs.map(|x| vec![x[0]]);
            let mut expected = Law::default();
            for (x, _) in joint.law().iter() {
                let second = joint.conditional(&[x[0], joint.mask()], 1).unwrap();
                expected.add(x.to_vec(), first.probability(&x[..1]) * second[x[1] as usize]);
            }
            let generator = generator(&joint, 1, EnergyResampling::new(exact(&joint)));
            let got = law(&generator.block_length(1).unwrap(), &joint);
            assert!(got.total_variation(&expected) < ZERO);
            bias += joint.total_variation(&got) / 20.0;
        }
        assert!((bias - 0.03).abs() < 0.015, "{bias}");
    }

    /// The weight exp(+E), as if the sign of the energy were the other: with all positions drawn at
    /// once from their marginals, q is what the forgetful model says.
    struct WrongSign(TabularAutoregressive, ForgetfulAutoregressive);

    impl Autoregressive for WrongSign {
        fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error> {
            self.0.rows(tokens, positions)
        }

        fn log_likelihood(&self, x: &[TokenId], positions: Range<usize>) -> Result<f64, Error> {
            let log_q = self.1.log_likelihood(x, positions.clone())?;
            Ok(2.0 * log_q - self.0.log_likelihood(x, positions)?)
        }
    }

    #[test]
    fn broken_twins_are_caught() {
        let joint = TabularJoint::random(2, 3, 1.0, 2).unwrap();
        let forgetful = ForgetfulAutoregressive::new(joint.clone());
        let expected = resampled(&joint.law(), &joint.product_of_marginals(), 2);
        let wrong_sign = at_once(&joint, 2, WrongSign(exact(&joint), forgetful.clone()));
        assert!(wrong_sign.total_variation(&expected) > 0.05);
        let independent = joint.total_variation(&joint.product_of_marginals());
        assert!(joint.total_variation(&wrong_sign) > independent);
        let unweighted = at_once(&joint, 2, forgetful);
        assert!((joint.total_variation(&unweighted) - independent).abs() < ZERO);
    }
}

mod copula {
    use super::*;

    fn assert_exact(joint: &TabularJoint, tokens: &[TokenId], k: usize) {
        let distance = distance(&generator(joint, k, Copula::new(exact(joint))), joint, tokens);
        assert!(distance < ZERO, "{tokens:?}, K = {k}: {distance}");
    }

    proptest! {
        #![proptest_config(common::cases(48))]

        /// Every K, with nothing known or a prompt.
        #[test]
        fn exact_where_nothing_is_known_on_the_right(
            symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3, first in 0u32..2,
        ) {
            let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
            assert_exact(&joint, &joint.masked(), k);
            assert_exact(&joint, &[first, joint.mask(), joint.mask()], k);
        }

        /// One token a step, with whatever known on the right.
        #[test]
        fn exact_one_at_a_time(
            symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, last in 0u32..2,
        ) {
            let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
            let mask = joint.mask();
            for tokens in [[mask, mask, mask, last], [mask, last, mask, 0], [last, mask, 1, mask]] {
                assert_exact(&joint, &tokens, 1);
            }
        }
    }

    #[test]
    fn blocks_change_nothing() {
        let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
        for block in [1, 2] {
            let generator = generator(&joint, 2, Copula::new(exact(&joint)));
            let generator = generator.block_length(block).unwrap();
            assert!(distance(&generator, &joint, &joint.masked()) < ZERO, "{block}");
        }
    }

    /// Two holes before a known parity: together they are determined, one by one they are not.
    #[test]
    fn not_exact_for_two_holes_at_once() {
        let two = generator(&parity(), 2, Copula::new(exact(&parity())));
        assert!((distance(&two, &parity(), &[2, 2, 1]) - 0.5).abs() < ZERO);
    }

    /// A prompt costs no further forward, a hole with text behind it one more a step.
    #[test]
    fn only_holes_cost_further_forwards() {
        let joint = TabularJoint::random(3, 2, 0.5, 3).unwrap();
        let calls = |tokens: [TokenId; 3]| {
            let canvas = Canvas::infill(tokens.to_vec(), joint.mask()).unwrap();
            let generator = generator(&joint, 2, Copula::new(exact(&joint)));
            generator.run(vec![canvas], &mut ()).unwrap()[0].denoiser_calls
        };
        assert_eq!((calls([0, 2, 2]), calls([2, 2, 0])), (1, 2));
    }

    #[test]
    fn alpha_is_the_power_of_the_correction() {
        let joint = TabularJoint::random(2, 3, 0.5, 9).unwrap();
        let given = [joint.mask(), 1];
        let (bi, causal) = (joint.conditional(&given, 0).unwrap(), joint.marginal(0).unwrap());
        for alpha in [0.0, 0.5, 2.0] {
            let weights: Vec<f64> =
                (0..3).map(|i| causal[i] * (bi[i] / causal[i]).powf(alpha)).collect();
            let total: f64 = weights.iter().sum();
            let strategy = Copula::new(exact(&joint)).alpha(alpha).unwrap();
            let canvas = Canvas::infill(given.to_vec(), joint.mask()).unwrap();
            let law = exact_law(&generator(&joint, 1, strategy), &canvas).unwrap();
            for (token, weight) in (0..).zip(weights) {
                assert!((law.probability(&[token, 1]) - weight / total).abs() < ZERO, "{alpha}");
            }
        }
    }

    /// With a wrong second model and nothing on the right, that model is what is sampled.
    #[test]
    fn broken_twins_are_caught() {
        let joint = TabularJoint::random(3, 2, 0.3, 5).unwrap();
        let forgetful = ForgetfulAutoregressive::new(joint.clone());
        let law = law(&generator(&joint, 3, Copula::new(forgetful)), &joint);
        assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
        assert!(joint.total_variation(&law) > 0.05);
    }
}

mod prefix_acceptance {
    use super::*;

    /// One sequence by the definition, with real Gumbel noise shared by both models.
    fn with_gumbel_noise(joint: &TabularJoint, r: f64, rng: &mut ChaCha8Rng) -> Vec<TokenId> {
        let (t, v) = (joint.length(), joint.symbols());
        let mut tokens = joint.masked();
        let mut first = 0;
        while first < t {
            let mut draft = tokens.clone();
            let mut accepted = 0;
            for i in first..t {
                let noise: Vec<f64> =
                    (0..v).map(|_| -(-rng.random::<f64>().max(1e-300).ln()).ln()).collect();
                let pick = |p: &dyn Fn(usize) -> f64| {
                    let noisy = |j: usize| p(j).ln() + noise[j];
                    (0..v).max_by(|&a, &b| noisy(a).total_cmp(&noisy(b))).unwrap() as TokenId
                };
                let own = joint.conditional(&tokens, i).unwrap();
                let mut left = draft.clone();
                left[i..].fill(joint.mask());
                let ar = joint.conditional(&left, i).unwrap();
                draft[i] = pick(&|j| own[j]);
                if i > first && draft[i] != pick(&|j| own[j].powf(r) * ar[j].powf(1.0 - r)) {
                    break;
                }
                accepted += 1;
            }
            tokens[first..first + accepted].copy_from_slice(&draft[first..first + accepted]);
            first += accepted;
        }
        tokens
    }

    fn accepting(joint: &TabularJoint, r: f64) -> Generator {
        generator(joint, 1, PrefixAcceptance::new(exact(joint)).mixture(r).unwrap())
    }

    /// 10⁵ sequences each, at a false-alarm rate of 1e-3; another R is rejected.
    #[test]
    fn the_law_is_that_of_shared_gumbel_noise() {
        let joint = TabularJoint::random(3, 3, 0.5, 12).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for r in [0.0, 0.7] {
            let samples: Vec<_> =
                (0..100_000).map(|_| with_gumbel_noise(&joint, r, &mut rng)).collect();
            let test = |r| GoodnessOfFit::test(&samples, &law(&accepting(&joint, r), &joint), 1e-3);
            assert!(!test(r).unwrap().rejects(), "R = {r}: {:?}", test(r));
            assert!(test(r + 0.3).unwrap().rejects(), "R = {r}");
        }
    }

    #[test]
    fn a_window_of_one_is_exact_and_a_weight_of_one_is_marginal() {
        let joint = TabularJoint::random(3, 3, 0.5, 4).unwrap();
        let one = PrefixAcceptance::new(exact(&joint)).window(1).unwrap();
        assert!(distance(&generator(&joint, 3, one), &joint, &joint.masked()) < ZERO);
        let two = PrefixAcceptance::new(exact(&joint)).mixture(1.0).unwrap().window(2).unwrap();
        let marginal = law(&generator(&joint, 2, Marginal::new(LeftToRight)), &joint);
        assert!(law(&generator(&joint, 1, two), &joint).total_variation(&marginal) < ZERO);
    }

    /// Neither exact nor as far off as independent draws.
    #[test]
    fn the_second_model_brings_it_nearer() {
        let mut means = [0.0; 3];
        for seed in 0..20 {
            let joint = TabularJoint::random(3, 2, 0.3, seed).unwrap();
            for (r, mean) in [0.0, 0.7, 1.0].into_iter().zip(&mut means) {
                *mean += joint.total_variation(&law(&accepting(&joint, r), &joint)) / 20.0;
            }
        }
        assert!(means.is_sorted() && means[0] > 0.01 && means[1] < 0.9 * means[2], "{means:?}");
    }

    /// The marginals say 0, 0; after a 0 the second is more likely 1.
    #[test]
    fn greedy_compares_the_most_probable_tokens() {
        let joint = TabularJoint::new(2, 2, &[0.25, 0.30, 0.45, 0.0]).unwrap();
        for (r, expected, calls) in [(0.0, [0, 1], 2), (1.0, [0, 0], 1)] {
            let strategy = PrefixAcceptance::new(exact(&joint)).mixture(r).unwrap().greedy();
            let generator = generator(&joint, 1, strategy).draw(Argmax);
            let output = generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
            assert_eq!((output.tokens, output.denoiser_calls), (expected.to_vec(), calls));
        }
    }
}

mod clipped_joint {
    use super::*;

    proptest! {
        #![proptest_config(common::cases(32))]

        #[test]
        fn an_exact_layer_is_never_clipped(
            symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3,
        ) {
            let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
            for (name, order) in orders() {
                let strategy = ClippedJoint::new(ExactRefiner).order(order);
                let distance = distance(&generator(&joint, k, strategy), &joint, &joint.masked());
                prop_assert!(distance < ZERO, "{name}, K = {k}: {distance}");
            }
        }

        #[test]
        fn a_stale_layer_is_left_as_it_is(alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3) {
            let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
            let clipped = law(&generator(&joint, k, ClippedJoint::new(StaleRefiner)), &joint);
            let plain = law(&generator(&joint, k, LearnedJoint::new(StaleRefiner)), &joint);
            prop_assert!(clipped.total_variation(&plain) < ZERO);
        }

        /// At K = 2, whatever the layer.
        #[test]
        fn never_more_than_twice_as_far_off(
            alpha in 0.2f64..2.0, seed: u64, scale in 0.0f32..6.0, length in 2usize..=3,
        ) {
            let joint = TabularJoint::random(length, 3, alpha, seed).unwrap();
            let layer = NoisyRefiner::new(scale, seed).unwrap();
            let off = |generator| distance(&generator, &joint, &joint.masked());
            let plain = off(generator(&joint, 2, LearnedJoint::new(layer)));
            let clipped = off(generator(&joint, 2, ClippedJoint::new(layer)));
            prop_assert!(clipped <= 2.0 * plain + ZERO, "{clipped} against {plain}");
        }
    }

    #[test]
    fn strict_dependencies_and_prompts() {
        for tokens in [[2, 2, 2], [2, 1, 2]] {
            let three = generator(&parity(), 3, ClippedJoint::new(ExactRefiner));
            assert!(distance(&three, &parity(), &tokens) < ZERO);
        }
    }

    /// A layer that is far off is brought nearer, on average over joints, at every K.
    #[test]
    fn garbage_is_made_less_bad() {
        for k in [2, 3] {
            let (mut plain, mut clipped) = (0.0, 0.0);
            for seed in 0..40 {
                let joint = TabularJoint::random(3, 3, 0.5, seed).unwrap();
                let layer = NoisyRefiner::new(4.0, seed).unwrap();
                let off = |generator| distance(&generator, &joint, &joint.masked());
                plain += off(generator(&joint, k, LearnedJoint::new(layer)));
                clipped += off(generator(&joint, k, ClippedJoint::new(layer)));
            }
            assert!(clipped < 0.98 * plain, "K = {k}: {clipped} against {plain}");
        }
    }

    #[test]
    fn one_token_a_step_is_sequential_token_for_token() {
        let joint = TabularJoint::random(4, 3, 0.5, 6).unwrap();
        let run = |strategy: Strategy| {
            let generator = Generator::new(oracle(&joint)).unmasker(strategy).seed(4);
            generator.run(vec![blank(&joint); 50], &mut ()).unwrap()
        };
        let layer = NoisyRefiner::new(3.0, 1).unwrap();
        assert_eq!(run(ClippedJoint::new(layer).into()), run(ExactSequential::default().into()));
    }

    /// Broken on purpose: takes the probability of the last token for that of the path.
    #[derive(Clone)]
    struct Forgetful {
        layer: Arc<dyn SamplerLayer>,
        base: Vec<(usize, Vec<f64>)>,
        last: f64,
    }

    impl Unmasker for Forgetful {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            let softmax = |row: &[f32]| -> Vec<f64> {
                let weights: Vec<f64> = row.iter().map(|&l| f64::from(l).exp()).collect();
                let sum: f64 = weights.iter().sum();
                weights.iter().map(|w| w / sum).collect()
            };
            if view.round() == 0 {
                self.base.clear();
                for candidate in view.rows() {
                    let position = view.row(candidate).position;
                    self.base.push((position, softmax(view.filtered(candidate)?)));
                }
            }
            let position = view.candidates()[0].position;
            let base = &self.base.iter().find(|(p, _)| *p == position).unwrap().1;
            let p = if view.round() == 0 { 1.0 } else { self.last };
            let refined = softmax(view.filtered(Row::candidate(0))?);
            let clip = |(&r, &b): (&f64, &f64)| r.max((b - 1.0 + p) / p).min(b / p).ln() as f32;
            let mut logits: Vec<f32> = refined.iter().zip(base).map(clip).collect();
            let drawn = view.draw_from(Row::candidate(0), &mut logits)?;
            self.last = drawn.probability;
            view.reveal(Row::candidate(0), drawn);
            Ok(Next::Refine)
        }

        fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
            Some(&self.layer)
        }
    }

    #[test]
    fn broken_twins_are_caught() {
        let mut mean = 0.0;
        for seed in 0..8 {
            let joint = TabularJoint::random(3, 3, 0.3, seed).unwrap();
            let layer = Arc::new(ExactRefiner);
            let forgetful = generator(&joint, 3, Forgetful { layer, base: Vec::new(), last: 1.0 });
            mean += distance(&forgetful, &joint, &joint.masked()) / 8.0;
        }
        assert!(mean > 0.02, "{mean}");
    }
}

mod guidance {
    use super::*;

    type Guided = ClassifierFree<TabularDenoiser>;

    fn guided(joint: &TabularJoint, w: f64) -> Guided {
        ClassifierFree::new(oracle(joint), w).unwrap()
    }

    fn sequential(model: impl Denoiser + 'static) -> Generator {
        Generator::new(model).unmasker(ExactSequential::new(LeftToRight))
    }

    /// p(x_i) ∝ p(x_i | all known)^(w + 1) / p(x_i | what was generated)^w, from left to right.
    fn claimed(joint: &TabularJoint, tokens: &[TokenId], w: f64) -> Law {
        let mask = joint.mask();
        let mut reached = vec![(tokens.to_vec(), 1.0)];
        for i in (0..tokens.len()).filter(|&i| tokens[i] == mask) {
            let mut next = Vec::new();
            for (known, p) in reached {
                let generated = known
                    .iter()
                    .zip(tokens)
                    .map(|(&now, &given)| if given == mask { now } else { mask });
                let with = joint.conditional(&known, i).unwrap();
                let without = joint.conditional(&generated.collect::<Vec<_>>(), i).unwrap();
                let weight = |v: usize| match with[v] {
                    0.0 => 0.0,
                    with => with.powf(w + 1.0) / without[v].powf(w),
                };
                let total: f64 = (0..joint.symbols()).map(weight).sum();
                for v in 0..joint.symbols() {
                    let mut longer = known.clone();
                    longer[i] = v as TokenId;
                    next.push((longer, p * weight(v) / total));
                }
            }
            reached = next;
        }
        reached.into_iter().filter(|(_, p)| *p > 0.0).collect()
    }

    fn law_given(generator: &Generator, tokens: &[TokenId], joint: &TabularJoint) -> Law {
        let canvas = Canvas::infill(tokens.to_vec(), joint.mask()).unwrap();
        exact_law(generator, &canvas).unwrap()
    }

    proptest! {
        #![proptest_config(common::cases(48))]

        #[test]
        fn the_law_is_as_claimed(alpha in 0.2f64..2.0, seed: u64, w in 0.0f64..3.0, seen in 0u32..2) {
            let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
            let mask = joint.mask();
            for tokens in [[seen, mask, mask, mask], [seen, mask, 1, mask], [mask, seen, mask, 0]] {
                let got = law_given(&sequential(guided(&joint, w)), &tokens, &joint);
                let distance = got.total_variation(&claimed(&joint, &tokens, w));
                prop_assert!(distance < 10.0 * ZERO, "{tokens:?}: {distance}");
            }
        }

        /// With a layer that refines both passes exactly, K tokens a step have the law of one.
        #[test]
        fn the_layer_is_guided_too(alpha in 0.2f64..2.0, seed: u64, w in 0.0f64..3.0, k in 2usize..=3) {
            let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
            let tokens = [1, joint.mask(), joint.mask(), joint.mask()];
            let model = guided(&joint, w);
            let layer = model.sampler_layer(ExactRefiner);
            let refined = Generator::new(model)
                .unmasker(LearnedJoint::new(layer).order(LeftToRight))
                .schedule(TokensPerStep::new(k).unwrap());
            let got = law_given(&refined, &tokens, &joint);
            prop_assert!(got.total_variation(&claimed(&joint, &tokens, w)) < 10.0 * ZERO);
        }
    }

    #[test]
    fn tokens_that_are_ruled_out_stay_out() {
        let got = law_given(&sequential(guided(&parity(), 2.0)), &[1, 2, 2], &parity());
        assert!(got.total_variation(&parity().given(&[1, 2, 2]).unwrap()) < ZERO);
    }

    #[test]
    fn a_scale_of_0_is_the_plain_model_and_another_costs_two_passes() {
        let joint = TabularJoint::random(4, 3, 0.5, 2).unwrap();
        let canvases = || vec![Canvas::new(&[1], 3, joint.mask()).unwrap(); 20];
        let refined = |model: Guided| {
            let layer = model.sampler_layer(NoisyRefiner::new(1.0, 1).unwrap());
            Generator::new(model)
                .unmasker(LearnedJoint::new(layer))
                .schedule(TokensPerStep::new(3).unwrap())
        };
        let plain = over(oracle(&joint), 3, LearnedJoint::new(NoisyRefiner::new(1.0, 1).unwrap()));
        let run = |generator: Generator| generator.run(canvases(), &mut ()).unwrap();
        let expected = run(plain);
        assert_eq!(run(refined(guided(&joint, 0.0))), expected);
        let doubled = run(refined(guided(&joint, 1.0)));
        assert!(doubled.iter().all(|output| output.denoiser_calls == 2));
        assert!(expected.iter().all(|output| output.denoiser_calls == 1));
    }

    #[test]
    fn an_unguided_layer_is_refused() {
        let joint = TabularJoint::random(3, 2, 0.5, 2).unwrap();
        let generator = Generator::new(guided(&joint, 1.0))
            .unmasker(LearnedJoint::new(ExactRefiner))
            .schedule(TokensPerStep::new(2).unwrap());
        let error = generator.run(vec![blank(&joint)], &mut ()).unwrap_err();
        assert!(matches!(error, Error::ForeignState { .. }), "{error}");
    }

    #[test]
    fn bad_scales_are_refused() {
        let joint = TabularJoint::random(2, 2, 0.5, 2).unwrap();
        for bad in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            assert!(ClassifierFree::new(oracle(&joint), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_do_not_depend_on_the_batch() {
        let joint = TabularJoint::random(4, 3, 0.5, 2).unwrap();
        let mask = joint.mask();
        let canvas = |tokens: [TokenId; 4]| Canvas::infill(tokens.to_vec(), mask).unwrap();
        let canvases =
            vec![canvas([0, mask, mask, 1]), canvas([mask; 4]), canvas([2, 1, mask, mask])];
        let model = guided(&joint, 1.5);
        conformance::denoiser("guided", &model, &canvases, 0.0).unwrap();
        let layer = model.sampler_layer(ExactRefiner);
        conformance::sampler_layer("guided", &model, &layer, &canvases, 0.0).unwrap();
    }

    /// Another scale has another law, and a condition that is not hidden that of scale 0.
    #[test]
    fn broken_twins_are_caught() {
        let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
        let tokens = [1, joint.mask(), joint.mask(), joint.mask()];
        let got = law_given(&sequential(guided(&joint, 1.0)), &tokens, &joint);
        for wrong in [0.0, 2.0] {
            assert!(got.total_variation(&claimed(&joint, &tokens, wrong)) > 0.02, "{wrong}");
        }
    }
}
