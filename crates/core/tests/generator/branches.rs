//! Branches: canvases ahead of a sequence, which a step may follow, and drafts placed on them.

use std::sync::{Arc, Mutex};

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{Branch, Control, Drawn};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Next, Output, Row, SamplerLayer, State,
    StepRequest, TokenId, Unmasker, View, Vocabulary,
};
use ndarray::Array2;

const MASK: TokenId = 4;

/// All tokens are equally probable.
struct Flat(Vocabulary);

fn flat(request: &Request<'_>) -> DenseRows {
    DenseRows::from_logits(Array2::zeros((request.rows.len(), 5)))
}

impl Denoiser for Flat {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        Ok(Answer::new(flat(request), State::new(())))
    }
}

/// The place in the batch of a pass, and the tokens there.
type Pass = (usize, Vec<TokenId>);

/// Records its passes.
#[derive(Clone, Default)]
struct Layer(Arc<Mutex<Vec<Pass>>>);

impl SamplerLayer for Layer {
    fn pass(&self, _: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        let place = request.rows[0].sequence;
        let tokens = request.batch[place].canvas.tokens().to_vec();
        self.0.lock().unwrap().push((place, tokens));
        Ok(flat(request).into())
    }
}

type Decide = fn(&mut View<'_>, Branch) -> Next;

/// Queries one branch a step, and decides with a function.
#[derive(Clone)]
struct Ahead {
    layer: Arc<dyn SamplerLayer>,
    tokens: Vec<(usize, TokenId)>,
    branch: Option<Branch>,
    decide: Decide,
}

impl Unmasker for Ahead {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let is_masked = |&(position, _): &(usize, TokenId)| request.canvas().is_masked(position);
        let is_ahead = self.branch.is_none() || self.tokens.iter().all(is_masked);
        let tokens = if is_ahead { self.tokens.clone() } else { Vec::new() };
        self.branch = Some(request.query_branch(tokens));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let branch = self.branch.expect("a plan comes before");
        Ok((self.decide)(view, branch))
    }

    fn control(&self) -> Control {
        Control::OrderAlone
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.layer)
    }
}

fn first(token: TokenId) -> (Row, Drawn) {
    (Row::candidate(0), Drawn { token, probability: 1.0 })
}

fn reveal(view: &mut View<'_>, token: TokenId) {
    let (row, drawn) = first(token);
    view.reveal(row, drawn);
}

fn place_draft(view: &mut View<'_>, token: TokenId) {
    let (row, drawn) = first(token);
    view.place_draft(row, drawn);
}

/// Runs a canvas of four positions with a branch that holds `tokens`.
fn run(layer: &Layer, tokens: &[(usize, TokenId)], decide: Decide) -> Result<Output, Error> {
    let layer = Arc::new(layer.clone());
    let unmasker = Ahead { layer, tokens: tokens.to_vec(), branch: None, decide };
    let model = Flat(Vocabulary::new(5, MASK).unwrap());
    let canvas = Canvas::unconditional(4, MASK).unwrap();
    Generator::new(model).unmasker(unmasker).run(vec![canvas], &mut ()).map(|mut all| all.remove(0))
}

#[test]
fn a_branch_that_matches_saves_a_step() {
    let follow: Decide = |view, branch| {
        reveal(view, 1);
        Next::Follow(branch)
    };
    let matching = run(&Layer::default(), &[(0, 1)], follow).unwrap();
    // The first step follows its branch and reveals a second token there. Following the branch again ends the step.
    assert_eq!((matching.steps, matching.tokens), (3, vec![1; 4]));
    for other in [vec![(0, 2)], vec![(1, 2)], vec![(0, 1), (1, 1)]] {
        let output = run(&Layer::default(), &other, follow).unwrap();
        assert_eq!(output.steps, 4, "{other:?}");
    }
}

#[test]
fn a_branch_costs_a_canvas_unless_nothing_is_masked_on_it() {
    let one: Decide = |view, _| {
        reveal(view, 1);
        Next::EndStep
    };
    let cost = |tokens: &[(usize, TokenId)]| {
        let output = run(&Layer::default(), tokens, one).unwrap();
        output.denoiser_calls
    };
    // Two canvases in each of four steps. If the branch of the first step has no masked position, it is dropped.
    assert_eq!(cost(&[]), 8);
    assert_eq!(cost(&[(0, 1), (1, 1), (2, 1), (3, 1)]), 7);
}

#[test]
fn passes_see_drafts_and_the_state_of_the_branch() {
    let layer = Layer::default();
    let output = run(&layer, &[(0, 1)], |view, branch| {
        let known = view.canvas().tokens().iter().filter(|&&token| token != MASK).count();
        match (view.round(), known) {
            (0, 0) => {
                reveal(view, 1);
                Next::Follow(branch)
            }
            (0, _) => {
                reveal(view, 2);
                Next::Refine
            }
            _ => {
                place_draft(view, 3);
                Next::Refine
            }
        }
    });
    let passes = layer.0.lock().unwrap().clone();
    let m = MASK;
    // The last token is a draft too. The step ends, because nothing is masked for a further pass.
    assert_eq!(passes[..2], [(1, vec![1, 2, m, m]), (1, vec![1, 2, 3, m])]);
    // The next step has no drafts, and no branch was followed.
    assert_eq!(passes[2..], [(0, vec![1, 2, 2, m])]);
    assert_eq!(output.unwrap().tokens, [1, 2, 2, 2]);
}

#[test]
fn illegal_moves_are_errors() {
    let moves = |tokens: &[(usize, TokenId)], decide: Decide| {
        run(&Layer::default(), tokens, decide).unwrap_err()
    };
    let after: Decide = |view, _| {
        if view.round() == 0 {
            reveal(view, 1)
        } else {
            place_draft(view, 1)
        }
        if view.round() > 1 {
            view.remask(0);
        }
        Next::Refine
    };
    assert!(matches!(moves(&[], after), Error::IllegalMove { position: 0, .. }));
    let only: Decide = |view, _| {
        place_draft(view, 1);
        Next::EndStep
    };
    assert!(matches!(moves(&[], only), Error::NoProgress { .. }));
    let unknown: Decide = |view, _| {
        if view.round() == 0 {
            reveal(view, 1)
        } else {
            place_draft(view, 9)
        }
        Next::Refine
    };
    assert!(matches!(moves(&[], unknown), Error::UnknownToken { token: 9, position: 1, .. }));
    let beyond = moves(&[(4, 1)], only);
    assert!(matches!(beyond, Error::IllegalMove { position: 4, .. }), "{beyond}");
    let twice = moves(&[(0, 1), (0, 1)], only);
    assert!(matches!(twice, Error::IllegalMove { position: 0, .. }), "{twice}");
}
