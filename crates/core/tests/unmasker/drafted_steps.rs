//! `DraftedSteps`: the tokens of the inner unmasker in fewer rounds.

use std::sync::Arc;

use crate::common::{blank, nearly_certain, oracle};
use conjoint_core::draw::Argmax;
use conjoint_core::order::{Entropy, MaxProb, Random};
use conjoint_core::policy::{Dilated, Klass, LocalLeap, SlowFast};
use conjoint_core::reviser::Wino;
use conjoint_core::schedule::{EntropyBound, LladaEven, Threshold, TokensPerStep};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, DraftedSteps, LearnedJoint, Marginal, Score};
use conjoint_core::{Canvas, Generator, Order, Output, Unmasker};
use conjoint_testkit::{NoisyRefiner, TabularJoint, TopKModel};

fn drafted(inner: impl Unmasker + Clone + 'static, drafts: usize) -> DraftedSteps {
    DraftedSteps::new(inner, drafts).unwrap()
}

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

/// Compares runs with and without drafts. Returns the rounds of both.
fn rounds(
    name: &str,
    with: impl Fn(Option<usize>) -> Generator,
    joint: &TabularJoint,
) -> [usize; 2] {
    let canvases = vec![blank(joint); 5];
    let plain = outputs(&with(None), &canvases);
    let mut sums = [plain.iter().map(|output| output.steps).sum(), 0];
    for drafts in [1, 2, 7] {
        let all = outputs(&with(Some(drafts)), &canvases);
        for (got, expected) in all.iter().zip(&plain) {
            assert_eq!(got.tokens, expected.tokens, "{name}, {drafts} drafts");
            assert_eq!((got.end, got.finish), (expected.end, expected.finish), "{name}");
            assert!(got.steps <= expected.steps, "{name}");
            assert!(got.denoiser_calls <= expected.denoiser_calls * (drafts + 1), "{name}");
        }
        sums[1] = all.iter().map(|output| output.steps).sum();
    }
    sums
}

/// The strategy of an unmasker, with or without drafts.
fn either(inner: impl Unmasker + Clone + 'static, drafts: Option<usize>) -> Strategy {
    match drafts {
        None => Strategy::new(inner),
        Some(drafts) => Strategy::new(drafted(inner, drafts)),
    }
}

#[test]
fn tokens_are_those_of_the_inner_unmasker() {
    let mut saved = 0;
    for seed in 0..6 {
        let joint = TabularJoint::random(6, 3, 0.3, seed).unwrap();
        let dense = Generator::new(oracle(&joint)).seed(seed).batch_size(3).unwrap();
        let top_k =
            Generator::new(TopKModel::new(oracle(&joint), 2)).seed(seed).batch_size(3).unwrap();
        let greedy = dense.clone().draw(Argmax);
        for generator in [dense.clone(), top_k, greedy, dense.block_length(3).unwrap()] {
            let generator = || generator.clone();
            let mut check = |name: &str, with: &dyn Fn(Option<usize>) -> Generator| {
                let [plain, drafted] = rounds(name, with, &joint);
                saved += plain - drafted;
            };
            let marginal = |order: Arc<dyn Order>, drafts| either(Marginal::new(order), drafts);
            for k in 1..=3 {
                let steps = || generator().schedule(TokensPerStep::new(k).unwrap());
                for order in [Arc::new(Entropy) as Arc<dyn Order>, Arc::new(Random)] {
                    check("marginal", &|d| steps().unmasker(marginal(order.clone(), d)));
                }
                for score in [Score::Raw, Score::Filtered] {
                    check("confidence", &|d| steps().unmasker(either(Confidence::new(score), d)));
                }
                let joint = || LearnedJoint::new(NoisyRefiner::new(0.3, 1).unwrap());
                check("joint", &|d| steps().unmasker(either(joint(), d)));
            }
            let bound = EntropyBound::new(0.5).unwrap();
            let entropy = Arc::new(Entropy);
            check("entropy bound", &|d| {
                generator().unmasker(marginal(entropy.clone(), d)).schedule(bound)
            });
            let threshold = Threshold::new(0.7).unwrap();
            check("threshold", &|d| {
                generator().unmasker(marginal(Arc::new(MaxProb), d)).schedule(threshold)
            });
            let policies: [&dyn Fn(Strategy) -> Strategy; 4] = [
                &|s| s.policy(Klass::default()),
                &|s| s.policy(LocalLeap::default()),
                &|s| s.policy(SlowFast::default()),
                &|s| s.policy(Dilated::default()),
            ];
            for policy in policies {
                check("policy", &|d| generator().unmasker(policy(either(Marginal::default(), d))));
            }
            let wino = |s: Strategy| s.reviser(Wino::default());
            check("reviser", &|d| generator().unmasker(wino(either(Confidence::default(), d))));
        }
    }
    assert!(saved > 0);
}

/// One token a step, nearly all of them certain: the first round has no drafts, the next ones take D + 1 steps.
#[test]
fn right_drafts_save_rounds() {
    let joint = nearly_certain();
    let generator = Generator::new(oracle(&joint)).draw(Argmax);
    for (drafts, expected) in [(1, (3, 4)), (2, (2, 4)), (3, (2, 4))] {
        let unmasker = drafted(Marginal::default(), drafts);
        let all = outputs(&generator.clone().unmasker(unmasker), &[blank(&joint)]);
        assert_eq!((all[0].steps, all[0].denoiser_calls), expected, "{drafts} drafts");
    }
}

#[test]
fn a_schedule_with_a_total_gets_no_drafts() {
    let joint = nearly_certain();
    let generator = Generator::new(oracle(&joint)).draw(Argmax);
    let unmasker = drafted(Marginal::default(), 3);
    let generator = generator.unmasker(unmasker).schedule(LladaEven::new(4).unwrap());
    let all = outputs(&generator, &[blank(&joint)]);
    assert_eq!((all[0].steps, all[0].denoiser_calls), (4, 4));
}

#[test]
fn no_drafts_are_an_error() {
    let message = DraftedSteps::new(Marginal::default(), 0).map(drop).unwrap_err().to_string();
    assert!(message.contains("invalid value `0` for `drafts`"), "{message}");
}
