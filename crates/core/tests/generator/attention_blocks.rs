//! The blocks of a model with block-causal attention: they count from position 0, and the generator follows them.

use std::ops::Range;

use crate::flat::Flat;
use crate::model::MASK;
use conjoint_core::cache::BlockCausal;
use conjoint_core::denoiser::{Answer, Request, Session};
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::policy::BlockStates;
use conjoint_core::schedule::{DreamLinear, LladaEven, TokensPerStep};
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Error, Generator, Observer, Vocabulary};
use conjoint_testkit::{CachedDenoiser, TabularDenoiser, TabularJoint, TopKModel, exact_law};

/// A model that reports attention blocks of this many positions.
struct Blocked<D>(D, usize);

impl<D: Denoiser> Denoiser for Blocked<D> {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn attention_block(&self) -> Option<usize> {
        Some(self.1)
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.0.forward(request)
    }
}

/// The block and the number of revealed tokens of each step.
#[derive(Default)]
struct Steps(Vec<(Range<usize>, usize)>, usize);

impl Observer for Steps {
    fn on_reveal(&mut self, _: &conjoint_core::observer::Reveal) {
        self.1 += 1;
    }

    fn on_step(&mut self, _: usize, _: usize, canvas: &Canvas) {
        self.0.push((canvas.block(), std::mem::take(&mut self.1)));
    }
}

fn generator(block: usize) -> Generator {
    Generator::new(Blocked(Flat::new(), block)).unmasker(Marginal::default())
}

/// A prompt of 6 tokens and 11 positions to generate.
fn canvas() -> Canvas {
    Canvas::new(&[1; 6], 11, MASK).unwrap()
}

fn steps(generator: &Generator, canvas: Canvas) -> Vec<(Range<usize>, usize)> {
    let mut steps = Steps::default();
    generator.run(vec![canvas], &mut steps).unwrap();
    steps.0
}

#[test]
fn the_first_block_begins_with_the_end_of_the_prompt() {
    let whole = || TokensPerStep::new(100).unwrap();
    let blocks = |generator: &Generator| steps(generator, canvas());
    let expected = [(6..8, 2), (8..12, 4), (12..16, 4), (16..17, 1)];
    assert_eq!(blocks(&generator(4).schedule(whole())), expected);
    // A prompt that fills whole blocks.
    let full = Canvas::new(&[1; 8], 8, MASK).unwrap();
    assert_eq!(steps(&generator(4).schedule(whole()), full), [(8..12, 4), (12..16, 4)]);
    // Sub-blocks, and several of the model's blocks at once.
    let with = |length| generator(4).schedule(whole()).block_length(length).unwrap();
    assert_eq!(blocks(&with(2))[..2], [(6..8, 2), (8..10, 2)]);
    assert_eq!(blocks(&with(1)).len(), 11);
    assert_eq!(blocks(&with(8)), [(6..8, 2), (8..16, 8), (16..17, 1)]);
    assert_eq!(blocks(&with(32)), [(6..17, 11)]);
    // Holes of an infilling: a block without a hole takes no step.
    let mut tokens = vec![1; 14];
    for hole in [1, 9, 10] {
        tokens[hole] = MASK;
    }
    let holes = Canvas::infill(tokens, MASK).unwrap();
    assert_eq!(steps(&generator(4).schedule(whole()), holes), [(1..4, 1), (8..11, 2)]);
}

#[test]
fn a_length_that_does_not_fit_the_models_blocks_is_rejected() {
    for length in [3, 6, 5, 9] {
        let error = generator(4).block_length(length).unwrap().check(&[]).unwrap_err();
        assert!(
            matches!(error, Error::BlockNotAligned { block, attention_block: 4 } if block == length),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(&format!("length {length}")) && message.contains("of 4 pos"),
            "{message}"
        );
    }
    // Wrappers keep the model's blocks.
    let model = || Blocked(Flat::new(), 4);
    for guided in [
        Generator::new(ClassifierFree::new(model(), 0.5).unwrap()),
        Generator::new(std::sync::Arc::new(model())),
        Generator::new(TopKModel::new(model(), 2)),
    ] {
        let error = guided.block_length(3).unwrap().check(&[]).unwrap_err();
        assert!(matches!(error, Error::BlockNotAligned { .. }), "{error}");
    }
}

#[test]
fn steps_are_spread_in_proportion_to_the_lengths() {
    let reveals = |count| {
        let generator = generator(4).schedule(LladaEven::new(count).unwrap());
        steps(&generator, canvas())
    };
    // One token a step.
    let one = reveals(11);
    assert_eq!(one.len(), 11);
    assert!(one.iter().all(|(_, revealed)| *revealed == 1));
    assert_eq!(reveals(4), [(6..8, 2), (8..12, 4), (12..16, 4), (16..17, 1)]);
    let six = [(6..8, 2), (8..12, 2), (8..12, 2), (12..16, 2), (12..16, 2), (16..17, 1)];
    assert_eq!(reveals(6), six);
    let few = generator(4).schedule(DreamLinear::new(3).unwrap());
    let error = few.run(vec![canvas()], &mut ()).unwrap_err();
    assert!(matches!(error, Error::TooFewSteps { steps: 3, blocks: 4 }), "{error}");
}

#[test]
fn the_next_block_opens_beside_a_shorter_one() {
    let open = |share: f64| {
        let generator = generator(4).schedule(TokensPerStep::ONE);
        steps(&generator.open_next_block_at(share).unwrap(), canvas())
    };
    // Half of 2 positions, then half of 4.
    let blocks: Vec<_> = open(0.5).into_iter().map(|(block, _)| block).collect();
    assert_eq!(blocks[..3], [6..8, 6..12, 6..12]);
    assert_eq!(open(0.5).len(), 11);
    let states = Generator::new(Blocked(Flat::new(), 4)).unmasker(Marginal::default());
    let states = states.policy(BlockStates::default()).open_next_block_at(0.1).unwrap();
    assert_eq!(steps(&states, canvas()).iter().map(|(_, revealed)| revealed).sum::<usize>(), 11);
}

/// A model with block-causal attention and a cache, whose blocks the generator follows.
struct Cached(CachedDenoiser, usize);

impl Denoiser for Cached {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn attention_block(&self) -> Option<usize> {
        Some(self.1)
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.0.forward(request)
    }

    fn open_session(self: std::sync::Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        std::sync::Arc::new(self.0.clone()).open_session()
    }
}

/// One token a step in blocks of two, with a prompt that ends within a block.
#[test]
fn the_law_with_the_exact_cache_is_the_law_without() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    let model = || {
        let oracle = TabularDenoiser::new(joint.clone()).unwrap();
        CachedDenoiser::new(oracle).block_causal(2).unwrap()
    };
    let canvas = Canvas::new(&[1], 3, joint.mask()).unwrap();
    let law = |model| exact_law(&Generator::new(Cached(model, 2)), &canvas).unwrap();
    let (without, cached) = (law(model()), law(model().with_cache(BlockCausal::new(2).unwrap())));
    assert!(without.total_variation(&cached) < 1e-9);
    // The blocks matter: in one block, positions 2 and 3 can be drawn before position 1.
    let one = Generator::new(Cached(model(), 2)).block_length(4).unwrap();
    assert!(without.total_variation(&exact_law(&one, &canvas).unwrap()) > 1e-3);
}
