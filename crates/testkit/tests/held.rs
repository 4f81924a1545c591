//! Full blocks that a strategy holds: LLaDA2.1's edits go on in them, and nobody holds one for ever.

mod common;

use common::blank;
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Next, Observer, Query, RowId, State,
    StepRequest, TokenId, Unmasker, View, Vocabulary,
};
use conjoint_testkit::{ExactRefiner, TabularJoint};

const MASK: TokenId = 2;

/// Never content: wants 0 where a 1 stands, and 1 anywhere else.
#[derive(Clone)]
struct Fickle(Vocabulary);

impl Fickle {
    fn new() -> Self {
        Self(Vocabulary::new(3, MASK).unwrap())
    }
}

impl Denoiser for Fickle {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let wants_one = |id: &RowId| batch[id.sequence].tokens()[id.position] != 1;
        let row = |id| if wants_one(id) { [0.0, 9.0, 0.0] } else { [9.0, 0.0, 0.0] };
        let logits: Vec<f32> = rows.iter().flat_map(row).collect();
        let logits = ndarray::Array2::from_shape_vec((rows.len(), 3), logits);
        Ok(Answer::new(DenseRows::from_logits(logits.map_err(Error::model)?), State::new(())))
    }
}

fn fickle(strategy: impl Into<Strategy>) -> Generator {
    Generator::new(Fickle::new()).unmasker(strategy).draw(Argmax)
}

fn run(generator: &Generator, length: usize) -> Result<conjoint_core::Output, Error> {
    let canvas = Canvas::unconditional(length, MASK)?;
    generator.run(vec![canvas], &mut ()).map(|mut outputs| outputs.remove(0))
}

#[test]
fn edits_go_on_for_as_many_steps_as_allowed() {
    for (post_steps, token) in [(0, 1), (1, 0), (2, 1), (3, 0), (16, 1)] {
        let edit =
            strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(post_steps)).unwrap();
        let output = run(&fickle(edit), 2).unwrap();
        // One step fills both positions.
        assert_eq!(output.tokens, [token; 2]);
        assert_eq!((output.steps, output.denoiser_calls), (1 + post_steps, 1 + post_steps));
    }
    let default = run(&fickle(strategy::edit_threshold(0.7, Edit::default()).unwrap()), 2).unwrap();
    assert_eq!(default.steps, 17);
}

/// Edits that do not go round in circles end where each token is the best, given the others.
#[test]
fn a_step_that_changes_nothing_is_the_last() {
    let mut at_rest = 0;
    for seed in 0..20 {
        let joint = TabularJoint::random(3, 3, 0.2, seed).unwrap();
        let edit = strategy::edit_threshold(0.1, Edit::new(0.0).unwrap()).unwrap();
        let generator = common::generator(&joint, 1, edit).draw(Argmax);
        let output = generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
        if output.steps > 16 {
            continue;
        }
        for position in 0..3 {
            let mut tokens = output.tokens.clone();
            tokens[position] = joint.mask();
            let row = joint.conditional(&tokens, position).unwrap();
            let best = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            assert_eq!(output.tokens[position] as usize, best, "{seed}");
        }
        at_rest += 1;
    }
    assert!(at_rest > 10, "{at_rest}");
}

/// Blocks, as the observer sees them.
#[derive(Default)]
struct Blocks(Vec<std::ops::Range<usize>>);

impl Observer for Blocks {
    fn on_step(&mut self, _: usize, _: usize, canvas: &Canvas) {
        self.0.push(canvas.block());
    }
}

#[test]
fn the_next_block_waits_for_one_that_is_held() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(3)).unwrap();
    let generator = fickle(edit).block_length(2).unwrap();
    let mut blocks = Blocks::default();
    let canvas = Canvas::unconditional(4, MASK).unwrap();
    let output = generator.run(vec![canvas], &mut blocks).unwrap().remove(0);
    assert_eq!(blocks.0, [vec![0..2; 4], vec![2..4; 4]].concat());
    assert_eq!(output.tokens, [0; 4]);
}

/// Overlapping blocks stay open to edits: a held one does not keep the next from joining it.
#[test]
fn held_blocks_may_overlap() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(1)).unwrap();
    let generator = fickle(edit).block_length(1).unwrap().open_next_block_at(1.0).unwrap();
    let mut blocks = Blocks::default();
    let canvas = Canvas::unconditional(3, MASK).unwrap();
    generator.run(vec![canvas], &mut blocks).unwrap();
    assert_eq!(blocks.0, [0..1, 0..2, 0..3, 0..3]);
}

/// An unmasker of one function that asks for all that stands, and keeps every block open.
#[derive(Clone)]
struct Holding(fn(&mut View<'_>, &[Query]) -> Result<Next, Error>, Vec<Query>);

impl Unmasker for Holding {
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
fn nobody_holds_on_for_ever() {
    let holding = |decide| Holding(decide, Vec::new());
    let for_ever = holding(|view, asked| {
        let row = view.query_row(asked[0]);
        let new = view.draw(row)?;
        view.replace(view.row(row).position, new);
        view.keep_block_open();
        Ok(Next::EndStep)
    });
    assert!(matches!(run(&fickle(for_ever), 2), Err(Error::StepLimitExceeded { sequence: 0, .. })));
    let idle = holding(|view, _| {
        view.keep_block_open();
        Ok(Next::EndStep)
    });
    assert!(matches!(run(&fickle(idle), 2), Err(Error::NoProgress { sequence: 0, step: 2 })));
    let content = holding(|_, _| Ok(Next::EndStep));
    assert_eq!(run(&fickle(content), 2).unwrap().steps, 3);
}

/// What is given stays given, and a held sequence does not hold up its batch.
#[test]
fn a_held_sequence_is_as_it_is_alone() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap()).unwrap();
    let generator = fickle(edit);
    let canvases: Vec<Canvas> = [vec![2, 0, 2], vec![2], vec![1, 2, 2, 0, 2]]
        .into_iter()
        .map(|tokens| Canvas::infill(tokens, MASK).unwrap())
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

/// The block fills in a sampler pass, and is kept open for edits all the same.
#[test]
fn a_block_that_fills_in_a_sampler_pass_is_held_too() {
    let joint = TabularJoint::random(4, 3, 0.2, 3).unwrap();
    let steps = |post_steps| {
        let edit = Edit::new(0.0).unwrap().post_steps(post_steps);
        let generator = Generator::new(common::oracle(&joint))
            .unmasker(LearnedJoint::new(ExactRefiner))
            .schedule(TokensPerStep::new(4).unwrap())
            .reviser(edit);
        generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0)
    };
    let (none, some) = (steps(0), steps(3));
    assert_eq!((none.steps, none.sampler_calls), (1, 3));
    assert!(some.steps > 1 && some.denoiser_calls > 1, "{some:?}");
}
