//! Presets: the compositions that their docs name, and the laws of the published loops.

mod loops;
mod published_loops;

use crate::common::{ZERO, blank, law, oracle};
use conjoint_core::Generator;
use conjoint_core::filter::{Filter, Temperature, TopP};
use conjoint_core::order::{Entropy, Margin, PlackettLuce};
use conjoint_core::policy::Origin;
use conjoint_core::presets::{
    self, Adjust, Dream, DreamAlgorithm, FastDllm, Llada, Remasking, adjust, balanced, dream,
    fast_dllm, llada, quality,
};
use conjoint_core::schedule::{DreamLinear, EntropyBound, LladaEven, Threshold, TokensPerStep};
use conjoint_core::unmasker::{Confidence, ExactSequential, LearnedJoint, Marginal, Score};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, TabularJoint};

fn joint() -> TabularJoint {
    TabularJoint::random(2, 3, 0.5, 3).unwrap()
}

#[test]
fn invalid_parameters_are_rejected() {
    let model = || oracle(&joint());
    let llada = |with| llada(model(), with).map(drop);
    assert!(llada(Llada::default()).is_ok());
    assert!(llada(Llada { steps: 0, ..Llada::default() }).is_err());
    assert!(llada(Llada { block_length: 0, ..Llada::default() }).is_err());
    assert!(llada(Llada { temperature: -1.0, ..Llada::default() }).is_err());
    assert!(llada(Llada { cfg_scale: -1.0, ..Llada::default() }).is_err());
    let dream = |with| dream(model(), with).map(drop);
    assert!(dream(Dream::default()).is_ok());
    assert!(dream(Dream { epsilon: 0.0, ..Dream::default() }).is_err());
    assert!(dream(Dream { top_p: Some(0.0), ..Dream::default() }).is_err());
    assert!(dream(Dream { top_k: Some(0), ..Dream::default() }).is_err());
    assert!(fast_dllm(model(), FastDllm::default()).is_ok());
    assert!(fast_dllm(model(), FastDllm { block_length: 0, ..FastDllm::default() }).is_err());
    assert!(fast_dllm(model(), FastDllm { threshold: 1.5, ..FastDllm::default() }).is_err());
    let lottery = Dream { algorithm_temperature: Some(0.0), ..Dream::default() };
    assert!(dream(lottery).is_err());
    for algorithm in [DreamAlgorithm::MaskgitPlus, DreamAlgorithm::Origin] {
        assert!(dream(Dream { algorithm, ..lottery }).is_err());
    }
    let origin = DreamAlgorithm::Origin;
    let without_ranking = Dream { algorithm: origin, algorithm_temperature: Some(0.5), ..lottery };
    assert!(dream(without_ranking).err().unwrap().to_string().contains("does not rank"));
    let adjust = |with| adjust(model(), ExactRefiner, with).map(drop);
    assert!(adjust(Adjust::default()).is_ok());
    assert!(adjust(Adjust { steps: 0, ..Adjust::default() }).is_err());
}

#[test]
fn presets_have_the_law_of_their_compositions() {
    let model = || Generator::new(oracle(&joint()));
    let with = Llada { steps: 2, block_length: 2, temperature: 0.7, ..Llada::default() };
    let even = model().schedule(LladaEven::new(2).unwrap());
    let tempered = even.filter(Temperature::new(0.7).unwrap());
    same(llada(oracle(&joint()), with), tempered.clone().unmasker(Confidence::new(Score::Raw)));
    let random = Llada { remasking: Remasking::Random, ..with };
    same(
        llada(oracle(&joint()), random),
        tempered.unmasker(Marginal::new(conjoint_core::order::Random)),
    );
    let filter = || Temperature::new(0.7).unwrap().then(TopP::new(0.9).unwrap());
    let linear = model().schedule(DreamLinear::new(2).unwrap()).filter(filter());
    let with = Dream { steps: 2, temperature: 0.7, top_p: Some(0.9), ..Dream::default() };
    same(dream(oracle(&joint()), with), linear.clone().unmasker(Marginal::default()));
    let margin = Dream { algorithm: DreamAlgorithm::TopkMargin, ..with };
    same(dream(oracle(&joint()), margin), linear.clone().unmasker(Marginal::new(Margin)));
    let plus = Dream { algorithm: DreamAlgorithm::MaskgitPlus, ..with };
    same(dream(oracle(&joint()), plus), linear.clone().unmasker(Confidence::new(Score::Filtered)));
    let lottery = Dream { algorithm_temperature: Some(0.5), ..with };
    let order = PlackettLuce::new(Entropy, 0.5).unwrap();
    same(dream(oracle(&joint()), lottery), linear.clone().unmasker(Marginal::new(order)));
    let lottery = Dream { algorithm_temperature: Some(0.5), ..plus };
    let drawn = Confidence::new(Score::Filtered).plackett_luce(0.5).unwrap();
    same(dream(oracle(&joint()), lottery), linear.clone().unmasker(drawn));
    let origin = Dream { algorithm: DreamAlgorithm::Origin, ..with };
    let origin_policy = Origin::new(with.steps).unwrap();
    same(
        dream(oracle(&joint()), origin),
        model().filter(filter()).unmasker(Marginal::default()).policy(origin_policy),
    );
    let fast = FastDllm { threshold: 0.5, block_length: 2, temperature: 0.7 };
    let tempered = model().filter(Temperature::new(0.7).unwrap()).block_length(2).unwrap();
    let tempered = tempered.schedule(Threshold::new(0.5).unwrap());
    same(fast_dllm(oracle(&joint()), fast), tempered.unmasker(Confidence::new(Score::Raw)));
    let sequential = model().unmasker(ExactSequential::default());
    let one_step = Adjust { steps: 1, ..Adjust::default() };
    same(adjust(oracle(&joint()), ExactRefiner, one_step), sequential);
}

/// Token for token, over a layer that is not exact. The presets differ from each other.
#[test]
fn presets_of_the_sampler_layer_are_their_compositions() {
    let joint = TabularJoint::random(12, 2, 0.5, 7).unwrap();
    let layer = || NoisyRefiner::new(1.0, 2).unwrap();
    let run = |generator: Generator| {
        let outputs = generator.seed(5).run(vec![blank(&joint); 40], &mut ()).unwrap();
        let of = |output: conjoint_core::Output| {
            (output.tokens, output.denoiser_calls, output.sampler_calls)
        };
        outputs.into_iter().map(of).collect::<Vec<_>>()
    };
    let windowed = LearnedJoint::new(layer()).window(3).unwrap().bound(0.001).unwrap();
    let composed = |schedule: Box<dyn Fn(Generator) -> Generator>| {
        run(schedule(Generator::new(oracle(&joint)).unmasker(windowed.clone())))
    };
    let bound = |gamma| EntropyBound::new(gamma).unwrap();
    let presets = [
        run(quality(oracle(&joint), layer()).unwrap()),
        run(balanced(oracle(&joint), layer()).unwrap()),
        run(presets::fast(oracle(&joint), layer()).unwrap()),
    ];
    let compositions = [
        composed(Box::new(move |generator| generator.schedule(bound(0.3)))),
        composed(Box::new(move |generator| generator.schedule(bound(2.0)))),
        composed(Box::new(|generator| generator.schedule(TokensPerStep::new(12).unwrap()))),
    ];
    assert_eq!(presets, compositions);
    assert!(presets[0] != presets[1] && presets[1] != presets[2]);
}

fn same(preset: Result<Generator, conjoint_core::Error>, composed: Generator) {
    let (preset, composed) = (law(&preset.unwrap(), &joint()), law(&composed, &joint()));
    assert!(preset.total_variation(&composed) < ZERO);
}
