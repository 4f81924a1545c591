//! `VerifiedJoint`: its law is that of one token a forward, whatever the layer drafts, and it costs what its docs say.

mod common;

use std::sync::Arc;

use common::{Squaring, ZERO, blank, cases, distance, oracle, orders, parity};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::{CreditDecoding, Filter, RepetitionPenalty, Temperature, TopP};
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::order::{Entropy, LeftToRight, Random};
use conjoint_core::reviser::{Edit, Wino};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, VerifiedJoint};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Event, Generator, Order, Output, SamplerLayer, State,
    TokenId, Vocabulary,
};
use conjoint_testkit::conformance::{ProbeLayer, Suite};
use conjoint_testkit::{
    ExactRefiner, Law, NoisyRefiner, StaleRefiner, TabularDenoiser, TabularJoint, TopKModel,
    exact_law,
};
use proptest::prelude::*;

/// Two samplers of the same rows: they differ by the rounding of float32 coins alone.
const SAME: f64 = 1e-7;

/// A layer that is far off, but always by the same.
fn noisy() -> NoisyRefiner {
    NoisyRefiner::new(1.5, 1).unwrap()
}

/// Layers from right to useless.
fn layers() -> Vec<(&'static str, Arc<dyn SamplerLayer>)> {
    vec![
        ("exact", Arc::new(ExactRefiner)),
        ("noisy", Arc::new(noisy())),
        ("stale", Arc::new(StaleRefiner)),
    ]
}

fn verified(layer: impl SamplerLayer + 'static, k: usize) -> VerifiedJoint {
    VerifiedJoint::new(layer, k).unwrap()
}

/// A model whose conditionals belong to no joint, so that the order shows in its law.
struct Inconsistent(TabularDenoiser);

impl Denoiser for Inconsistent {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.0.forward(request)?;
        let Rows::Dense(beliefs) = answer.rows else { unreachable!("the oracle is dense") };
        let rows = request.rows.iter().enumerate().flat_map(|(n, id)| {
            let tokens = request.batch[id.sequence].canvas.tokens();
            let mut hash = id.position as u32 + 1;
            tokens.iter().for_each(|&token| hash = hash.wrapping_mul(31).wrapping_add(token));
            let bend = move |(token, &logit): (usize, &f32)| {
                let noise = hash.wrapping_mul(2_654_435_761).rotate_left(7 * token as u32) % 1000;
                logit + noise as f32 / 500.0
            };
            beliefs.logits(n).iter().enumerate().map(bend).collect::<Vec<_>>()
        });
        let shape = (request.rows.len(), self.vocabulary().size());
        let logits = ndarray::Array2::from_shape_vec(shape, rows.collect()).unwrap();
        Ok(Answer { rows: DenseRows::from_logits(logits).into(), ..answer })
    }
}

fn law(generator: &Generator, canvas: &Canvas) -> Law {
    let law = exact_law(generator, canvas).unwrap();
    assert!((law.total() - 1.0).abs() < 1e-9, "{}", law.total());
    law
}

/// Fails unless each layer and K has the law of one token a forward in the same order.
fn assert_sequential(settings: &Generator, canvas: &Canvas, order: impl Order + Clone + 'static) {
    let sequential = settings.clone().unmasker(ExactSequential::new(order.clone()));
    let expected = law(&sequential, canvas);
    for (name, layer) in layers() {
        for k in 2..=4 {
            let unmasker = verified(layer.clone(), k).order(order.clone());
            let got = law(&settings.clone().unmasker(unmasker), canvas);
            let distance = got.total_variation(&expected);
            assert!(distance < SAME, "{name} layer, K = {k}: {distance}");
        }
    }
}

fn sharpened() -> impl Filter + Clone {
    Temperature::new(0.6).unwrap().then(TopP::new(0.85).unwrap())
}

mod laws {
    use super::*;

    proptest! {
        #![proptest_config(cases(16))]

        /// Any model has a law of one token a forward, consistent or not.
        #[test]
        fn exact_order_is_exact_sequential(
            length in 2usize..=4, alpha in 0.2f64..2.0, seed: u64, filtered: bool,
        ) {
            let joint = TabularJoint::random(length, 2, alpha, seed).unwrap();
            let mut settings = Generator::new(Inconsistent(oracle(&joint)));
            if filtered {
                settings = settings.filter(sharpened());
            }
            assert_sequential(&settings, &blank(&joint), Entropy);
        }

        #[test]
        fn three_symbols(alpha in 0.2f64..2.0, seed: u64, filtered: bool) {
            let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
            let mut settings = Generator::new(Inconsistent(oracle(&joint)));
            if filtered {
                settings = settings.filter(sharpened());
            }
            assert_sequential(&settings, &blank(&joint), Entropy);
        }

        /// With conditionals of one joint both modes sample it, given a prompt or not.
        #[test]
        fn both_modes_sample_the_joint(alpha in 0.2f64..2.0, seed: u64, given in 0u32..=2) {
            let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
            let mut tokens = joint.masked();
            tokens[2] = given;
            for (name, layer) in layers() {
                for k in 2..=4 {
                    let exact = verified(layer.clone(), k);
                    for unmasker in [exact.clone(), exact.any_order()] {
                        let generator = Generator::new(oracle(&joint)).unmasker(unmasker);
                        let distance = distance(&generator, &joint, &tokens);
                        prop_assert!(distance < ZERO, "{name} layer, K = {k}: {distance}");
                    }
                }
            }
        }

        /// If rows do not decide where, the two modes are one.
        #[test]
        fn a_fixed_order_has_one_law(alpha in 0.2f64..2.0, seed: u64) {
            let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
            let settings = Generator::new(Inconsistent(oracle(&joint))).filter(sharpened());
            let settings = settings.order(LeftToRight);
            let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
            for k in 2..=4 {
                let any = settings.clone().unmasker(verified(noisy(), k).any_order());
                let distance = law(&any, &blank(&joint)).total_variation(&expected);
                prop_assert!(distance < SAME, "K = {k}: {distance}");
            }
        }
    }

    #[test]
    fn strict_dependencies() {
        assert_sequential(&Generator::new(oracle(&parity())), &blank(&parity()), Entropy);
    }

    #[test]
    fn every_order() {
        let joint = TabularJoint::random(3, 2, 0.5, 5).unwrap();
        let settings = Generator::new(Inconsistent(oracle(&joint)));
        for (_, order) in orders() {
            assert_sequential(&settings, &blank(&joint), order);
        }
    }

    /// Filters that look at the canvas see that of the token being settled, and those with a memory remember each canvas
    /// once.
    #[test]
    fn filters_of_the_canvas_and_with_a_memory() {
        let joint = TabularJoint::random(4, 2, 0.7, 8).unwrap();
        let settings = || Generator::new(Inconsistent(oracle(&joint)));
        let repetition = settings().filter(RepetitionPenalty::new(1.7).unwrap());
        assert_sequential(&repetition, &blank(&joint), Entropy);
        let credits = settings().filter(CreditDecoding::new(2.0, 0.5, 1.0).unwrap());
        assert_sequential(&credits, &blank(&joint), Entropy);
        let blocks = credits.block_length(2).unwrap();
        assert_sequential(&blocks, &blank(&joint), Entropy);
    }

    #[test]
    fn blocks_one_by_one_and_overlapping() {
        let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
        let settings = Generator::new(Inconsistent(oracle(&joint)));
        for block in [1, 2] {
            let settings = settings.clone().block_length(block).unwrap();
            assert_sequential(&settings, &blank(&joint), Entropy);
            for share in [0.0, 0.5, 1.0] {
                let overlapping = settings.clone().open_next_block_at(share).unwrap();
                assert_sequential(&overlapping, &blank(&joint), Entropy);
            }
        }
    }

    /// A block that opens in the middle of a round ends it.
    #[test]
    fn blocks_that_open_before_a_branch_is_used_up() {
        let joint = TabularJoint::random(6, 2, 0.5, 3).unwrap();
        let settings = Generator::new(Inconsistent(oracle(&joint))).block_length(3).unwrap();
        let settings = settings.open_next_block_at(0.6).unwrap();
        let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
        let got = law(&settings.unmasker(verified(noisy(), 3)), &blank(&joint));
        assert!(got.total_variation(&expected) < SAME);
    }

    /// A drafted end closes nothing before it is settled.
    #[test]
    fn stopping_at_the_end() {
        for eos in [0, 1] {
            let joint = TabularJoint::random(4, 2, 0.5, 4).unwrap();
            let model = oracle(&joint).with_eos(eos).unwrap();
            let settings = Generator::new(Inconsistent(model)).stop_at_eos(true);
            assert_sequential(&settings, &blank(&joint), Entropy);
            let given = Canvas::infill(vec![2, eos, 2, 2], 2).unwrap();
            assert_sequential(&settings, &given, Entropy);
            assert_sequential(&settings.block_length(2).unwrap(), &blank(&joint), Entropy);
        }
    }

    /// Rules of drawing that are no softmax.
    #[test]
    fn every_draw() {
        let joint = TabularJoint::random(4, 2, 0.5, 6).unwrap();
        let settings = || Generator::new(Inconsistent(oracle(&joint)));
        assert_sequential(&settings().draw(Squaring), &blank(&joint), Entropy);
        assert_sequential(&settings().draw(Argmax), &blank(&joint), Entropy);
    }

    /// The mask's weight is no token's, whoever rules it out.
    #[test]
    fn a_model_that_wants_the_mask() {
        let joint = TabularJoint::random(3, 2, 0.5, 5).unwrap();
        let settings = Generator::new(oracle(&joint).with_mask_weight(2.0).unwrap());
        assert_sequential(&settings, &blank(&joint), Entropy);
        assert_sequential(&settings.ban([]), &blank(&joint), Entropy);
    }

    #[test]
    fn guided() {
        let joint = TabularJoint::random(4, 2, 0.5, 2).unwrap();
        let model = ClassifierFree::new(oracle(&joint), 1.5).unwrap();
        let layer = model.sampler_layer(noisy());
        let canvas = Canvas::infill(vec![1, 2, 2, 2], 2).unwrap();
        let settings = Generator::new(model);
        let expected = law(&settings.clone().unmasker(ExactSequential::default()), &canvas);
        let got = law(&settings.unmasker(verified(layer, 3)), &canvas);
        assert!(got.total_variation(&expected) < SAME);
    }

    /// What the measure must see: drafts that nobody verifies, and another order.
    #[test]
    fn broken_twins_are_caught() {
        let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
        let settings = Generator::new(Inconsistent(oracle(&joint))).filter(sharpened());
        let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
        let unverified = settings.clone().schedule(TokensPerStep::new(3).unwrap());
        let unverified = law(&unverified.unmasker(LearnedJoint::new(noisy())), &blank(&joint));
        assert!(unverified.total_variation(&expected) > 0.05);
        let any = law(&settings.unmasker(verified(noisy(), 3).any_order()), &blank(&joint));
        assert!(any.total_variation(&expected) > 0.005);
    }
}

mod runs {
    use super::*;

    fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
        generator.run(canvases.to_vec(), &mut ()).unwrap()
    }

    #[test]
    fn conformance() {
        // Drafting is a decision too.
        let suite = Suite::default().moves_per_position(4).extra_forwards();
        for k in [1, 2, 4, 9] {
            suite.strategy("verified", || verified(ProbeLayer, k)).unwrap();
            suite.strategy("verified, any order", || verified(ProbeLayer, k).any_order()).unwrap();
        }
    }

    #[test]
    fn one_token_a_round_is_exact_sequential() {
        let joint = TabularJoint::random(5, 4, 0.5, 8).unwrap();
        let canvases = vec![blank(&joint); 50];
        let dense = Generator::new(oracle(&joint));
        let condensed = Generator::new(TopKModel::new(oracle(&joint), 2));
        for settings in [dense, condensed] {
            for (name, order) in orders() {
                let exact = ExactSequential::new(order.clone());
                let expected = outputs(&settings.clone().unmasker(exact), &canvases);
                let one = verified(noisy(), 1).order(order);
                for one in [one.clone(), one.any_order()] {
                    let got = outputs(&settings.clone().unmasker(one), &canvases);
                    assert_eq!(got, expected, "{name}");
                }
            }
        }
    }

    /// With an exact layer every draft is kept: K tokens a round after the first, and no draft for the last position.
    #[test]
    fn an_exact_layer_loses_no_draft() {
        let joint = TabularJoint::random(8, 2, 0.5, 9).unwrap();
        let settings = Generator::new(oracle(&joint));
        for (k, rounds, canvases, drafts) in
            [(2, 5, 8, 3), (3, 4, 8, 4), (4, 3, 8, 5), (9, 2, 8, 6)]
        {
            for unmasker in [verified(ExactRefiner, k), verified(ExactRefiner, k).any_order()] {
                let all = outputs(&settings.clone().unmasker(unmasker), &vec![blank(&joint); 50]);
                for output in all {
                    let got = (output.steps, output.denoiser_calls, output.sampler_calls);
                    assert_eq!(got, (rounds, canvases, drafts), "K = {k}");
                    assert_eq!(output.drawn - output.steps, drafts, "K = {k}");
                }
            }
        }
    }

    /// Whatever the layer, a draft costs a pass and one more canvas, and what is kept spares a round.
    #[test]
    fn what_is_kept_is_spared() {
        let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
        let settings = Generator::new(oracle(&joint));
        let kept = |unmasker: VerifiedJoint| -> f64 {
            let all = outputs(&settings.clone().unmasker(unmasker), &vec![blank(&joint); 200]);
            let sum = |of: &dyn Fn(&Output) -> usize| all.iter().map(of).sum::<usize>() as f64;
            assert!(all.iter().all(|o| o.drawn == 8));
            assert!(all.iter().all(|o| o.denoiser_calls == o.steps + o.sampler_calls));
            sum(&|o| o.drawn - o.steps) / sum(&|o| o.sampler_calls)
        };
        let mild = NoisyRefiner::new(0.3, 1).unwrap();
        let shares =
            [verified(mild, 4).any_order(), verified(mild, 4), verified(noisy(), 4)].map(kept);
        assert!(shares.is_sorted_by(|a, b| a > b) && shares[0] > 0.8, "{shares:?}");
    }

    /// Passes continue from the state of the branch that the round has come to: they see one token more each time.
    #[test]
    fn passes_continue_from_the_branch() {
        struct Tracking(TabularDenoiser);
        struct Canvases(Vec<Vec<TokenId>>, State);
        #[derive(Clone)]
        struct Layer;

        impl Denoiser for Tracking {
            fn vocabulary(&self) -> &Vocabulary {
                self.0.vocabulary()
            }

            fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
                let Answer { rows, state, hidden } = self.0.forward(request)?;
                let canvases = request.batch.iter().map(|shown| shown.canvas.tokens().to_vec());
                let state = State::new(Canvases(canvases.collect(), state));
                Ok(Answer { rows, state, hidden })
            }
        }

        impl SamplerLayer for Layer {
            fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
                let Canvases(before, inner) = state.downcast_mut()?;
                for slot in request.rows.iter().map(|row| row.sequence) {
                    let now = request.batch[slot].canvas.tokens();
                    let new = before[slot].iter().zip(now).filter(|(old, new)| old != new);
                    if new.clone().count() > 1 || new.clone().any(|(&old, _)| old != 2) {
                        return Err(Error::model(format!("{:?} after {:?}", now, before[slot])));
                    }
                    before[slot] = now.to_vec();
                }
                noisy().pass(inner, request)
            }
        }

        let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
        for unmasker in [verified(Layer, 4), verified(Layer, 4).any_order()] {
            let generator = Generator::new(Tracking(oracle(&joint))).unmasker(unmasker);
            assert_eq!(outputs(&generator, &vec![blank(&joint); 100]).len(), 100);
        }
    }

    /// A drafted end closes what lies behind it, for the layer and on the branches.
    #[test]
    fn nothing_is_asked_behind_a_drafted_end() {
        #[derive(Clone)]
        struct Refusing<M>(M);

        fn check(request: &Request<'_>) -> Result<(), Error> {
            let behind = |row: &conjoint_core::RowId| {
                request.batch[row.sequence].canvas.tokens()[..row.position].contains(&0)
            };
            match request.rows.iter().any(behind) {
                true => Err(Error::model("a row behind the end")),
                false => Ok(()),
            }
        }

        impl Denoiser for Refusing<TabularDenoiser> {
            fn vocabulary(&self) -> &Vocabulary {
                self.0.vocabulary()
            }

            fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
                check(request)?;
                self.0.forward(request)
            }
        }

        impl SamplerLayer for Refusing<NoisyRefiner> {
            fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
                check(request)?;
                self.0.pass(state, request)
            }
        }

        let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
        let model = Refusing(oracle(&joint).with_eos(0).unwrap());
        let exact = verified(Refusing(noisy()), 4);
        for unmasker in [exact.clone(), exact.any_order()] {
            let generator = Generator::new(model.clone()).unmasker(unmasker).stop_at_eos(true);
            let stopped = outputs(&generator, &vec![blank(&joint); 100]);
            assert!(stopped.iter().filter(|output| output.drawn < 8).count() > 20);
        }
    }

    /// Drafts are nobody's business before they are settled.
    #[test]
    fn nothing_is_taken_back() {
        let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
        let generator = Generator::new(oracle(&joint)).unmasker(verified(noisy(), 4));
        let mut run = generator.start(vec![blank(&joint); 50]).unwrap();
        let mut reveals = 0;
        while !run.is_done() {
            for event in run.step().unwrap() {
                assert!(!matches!(event, Event::Remask { .. }), "{event:?}");
                reveals += usize::from(matches!(event, Event::Reveal(_)));
            }
        }
        assert_eq!(reveals, 50 * 8);
    }

    #[test]
    fn settings_that_would_break_its_law_are_rejected() {
        let joint = parity();
        let generator = || Generator::new(oracle(&joint)).unmasker(verified(ExactRefiner, 2));
        assert!(generator().order(Random).check(&[]).is_ok());
        for generator in [
            generator().reviser(Wino::new(0.9).unwrap()),
            generator().reviser(Edit::new(0.5).unwrap()),
            generator().schedule(TokensPerStep::new(2).unwrap()),
            generator().policy(conjoint_core::policy::Dilated::default()),
        ] {
            let error = generator.check(&[]).unwrap_err();
            assert!(matches!(error, Error::Combination { .. }), "{error}");
        }
        let error = VerifiedJoint::new(ExactRefiner, 0).err().unwrap();
        assert!(error.to_string().contains("at least 1"), "{error}");
    }
}
