//! Blocks: when the next one opens, and blocks that a strategy keeps open.

use crate::common::moves::{fickle, greedy};
use crate::common::oracle;
use crate::flat::Flat;
use crate::model::MASK;
use conjoint_core::observer::History;
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{DreamLinear, TokensPerStep};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{
    Canvas, Error, Generator, Next, Observer, Output, Query, Row, StepRequest, Unmasker, View,
    strategy,
};
use conjoint_testkit::{ExactRefiner, TabularJoint};

fn blank(length: usize) -> Vec<Canvas> {
    vec![Canvas::unconditional(length, MASK).unwrap()]
}

#[test]
fn the_next_block_opens_once_enough_of_the_last_is_known() {
    /// Reveals the rightmost candidate.
    #[derive(Clone)]
    struct Rightmost;
    impl Unmasker for Rightmost {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            let last = Row::candidate(view.candidates().len() - 1);
            let drawn = view.draw(last)?;
            view.reveal(last, drawn);
            Ok(Next::EndStep)
        }
    }
    let revealed = |share: f64| {
        let generator = Generator::new(Flat::new()).unmasker(Rightmost).block_length(4).unwrap();
        let generator = generator.open_next_block_at(share).unwrap();
        let mut history = History::default();
        generator.run(blank(8), &mut history).unwrap();
        let mut before = vec![MASK; 8];
        let step = |after: &Vec<u32>| {
            let new = (0..8).find(|&i| before[i] != after[i]).unwrap();
            before = after.clone();
            new
        };
        history.of(0).iter().map(step).collect::<Vec<_>>()
    };
    assert_eq!(revealed(0.5), [3, 2, 7, 6, 5, 4, 1, 0]);
    assert_eq!(revealed(1.0), [3, 2, 1, 0, 7, 6, 5, 4]);
    assert_eq!(revealed(0.0), [7, 6, 5, 4, 3, 2, 1, 0]);

    assert!(Generator::new(Flat::new()).open_next_block_at(1.5).is_err());
    let finite = Generator::new(Flat::new()).unmasker(Marginal::default());
    let finite = finite.schedule(DreamLinear::new(4).unwrap());
    let finite = finite.block_length(4).unwrap().open_next_block_at(0.5).unwrap();
    assert!(matches!(finite.run(blank(8), &mut ()), Err(Error::Parameter { .. })));
}

/// A strategy over a model that never agrees with what is revealed.
fn undecided(strategy: impl Into<Strategy>) -> Generator {
    greedy(fickle, strategy)
}

fn run(generator: &Generator, length: usize) -> Result<Output, Error> {
    let canvas = Canvas::unconditional(length, 2)?;
    generator.run(vec![canvas], &mut ()).map(|mut outputs| outputs.remove(0))
}

/// The block of each step, as reported to an observer.
#[derive(Default)]
struct Blocks(Vec<std::ops::Range<usize>>);

impl Observer for Blocks {
    fn on_step(&mut self, _: usize, _: usize, canvas: &Canvas) {
        self.0.push(canvas.block());
    }
}

#[test]
fn the_last_block_may_be_shorter() {
    let blocks = |steps: usize, canvas: Canvas| {
        let generator = Generator::new(Flat::new()).unmasker(Marginal::default());
        let generator = generator.schedule(DreamLinear::new(steps).unwrap());
        let mut blocks = Blocks::default();
        generator.block_length(4).unwrap().run(vec![canvas], &mut blocks).unwrap();
        blocks.0
    };
    let ten = || Canvas::new(&[1], 10, MASK).unwrap();
    assert_eq!(blocks(3, ten()), [1..5, 5..9, 9..11]);
    assert_eq!(blocks(5, ten()), [1..5, 1..5, 5..9, 5..9, 9..11]);
    // Blocks count from the first hole to the last one.
    let mut tokens = vec![1; 14];
    for hole in [1, 4, 6, 7] {
        tokens[hole] = MASK;
    }
    assert_eq!(blocks(2, Canvas::infill(tokens, MASK).unwrap()), [1..5, 5..8]);
}

#[test]
fn the_next_block_opens_after_one_that_is_kept_open() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(3)).unwrap();
    let generator = undecided(edit).block_length(2).unwrap();
    let mut blocks = Blocks::default();
    let canvas = Canvas::unconditional(4, 2).unwrap();
    let output = generator.run(vec![canvas], &mut blocks).unwrap().remove(0);
    assert_eq!(blocks.0, [vec![0..2; 4], vec![2..4; 4]].concat());
    assert_eq!(output.tokens, [0; 4]);
}

/// Overlapping blocks are edited together: the next block opens although the last one is kept open.
#[test]
fn blocks_that_are_kept_open_may_overlap() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(1)).unwrap();
    let generator = undecided(edit).block_length(1).unwrap().open_next_block_at(1.0).unwrap();
    let mut blocks = Blocks::default();
    let canvas = Canvas::unconditional(3, 2).unwrap();
    generator.run(vec![canvas], &mut blocks).unwrap();
    assert_eq!(blocks.0, [0..1, 0..2, 0..3, 0..3]);
}

/// Queries all revealed positions and keeps every block open. The function decides once nothing is masked.
#[derive(Clone)]
struct KeepsOpen(fn(&mut View<'_>, &[Query]) -> Result<Next, Error>, Vec<Query>);

impl Unmasker for KeepsOpen {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let revealed = request.canvas().revealed();
        self.1 = revealed.map(|position| request.query(position)).collect();
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        if view.candidates().is_empty() {
            assert_eq!(view.quota(), 0);
            return (self.0)(view, &self.1);
        }
        view.keep_block_open();
        Marginal::default().decide(view)
    }
}

#[test]
fn a_block_cannot_be_kept_open_for_ever() {
    let keeps_open = |decide| KeepsOpen(decide, Vec::new());
    let edits_without_end = keeps_open(|view, queries| {
        let row = view.query_row(queries[0]);
        let new = view.draw(row)?;
        view.replace(view.row(row).position, new);
        view.keep_block_open();
        Ok(Next::EndStep)
    });
    assert!(matches!(
        run(&undecided(edits_without_end), 2),
        Err(Error::StepLimitExceeded { sequence: 0, .. })
    ));
    let changes_nothing = keeps_open(|view, _| {
        view.keep_block_open();
        Ok(Next::EndStep)
    });
    assert!(matches!(
        run(&undecided(changes_nothing), 2),
        Err(Error::NoProgress { sequence: 0, step: 2 })
    ));
    let lets_go = keeps_open(|_, _| Ok(Next::EndStep));
    assert_eq!(run(&undecided(lets_go), 2).unwrap().steps, 3);
}

/// Given tokens stay, and a sequence with an open block does not delay its batch.
#[test]
fn a_sequence_with_an_open_block_does_not_depend_on_its_batch() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap()).unwrap();
    let generator = undecided(edit);
    let canvases: Vec<Canvas> = [vec![2, 0, 2], vec![2], vec![1, 2, 2, 0, 2]]
        .into_iter()
        .map(|tokens| Canvas::infill(tokens, 2).unwrap())
        .collect();
    let together = generator.run(canvases.clone(), &mut ()).unwrap();
    for (canvas, expected) in canvases.into_iter().zip(together) {
        assert!(
            (0..canvas.len())
                .all(|p| !canvas.is_given(p) || canvas.tokens()[p] == expected.tokens[p])
        );
        assert_eq!(generator.run(vec![canvas], &mut ()).unwrap(), [expected]);
    }
}

/// A block that is full after a sampler pass stays open for edits.
#[test]
fn a_block_that_a_sampler_pass_fills_can_be_kept_open() {
    let joint = TabularJoint::random(4, 3, 0.2, 3).unwrap();
    let steps = |post_steps| {
        let edit = Edit::new(0.0).unwrap().post_steps(post_steps);
        let generator = Generator::new(oracle(&joint))
            .unmasker(LearnedJoint::new(ExactRefiner))
            .schedule(TokensPerStep::new(4).unwrap())
            .reviser(edit);
        generator.run(vec![crate::common::blank(&joint)], &mut ()).unwrap().remove(0)
    };
    let (none, some) = (steps(0), steps(3));
    assert_eq!((none.steps, none.sampler_calls), (1, 3));
    assert!(some.steps > 1 && some.denoiser_calls > 1, "{some:?}");
}
