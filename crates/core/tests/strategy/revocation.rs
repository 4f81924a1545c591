//! Strategies that revoke tokens, on rows with ties, impossible tokens and nothing to draw.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::common::{cases, law, oracle, scheduled};
use conjoint_core::State as ModelState;
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{LladaEven, TokensPerStep};
use conjoint_core::strategy::Strategy as Revocable;
use conjoint_core::unmasker::{Marginal, PathPlanning, ReMdm, Score};
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, Generator, TokenId, Vocabulary, strategy};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

fn blank(length: usize, mask: TokenId) -> Vec<Canvas> {
    vec![Canvas::unconditional(length, mask).unwrap()]
}

/// A model with few distinct logits: many tie and many are −∞. Token 0 is banned if there is another.
struct Patchy {
    vocabulary: Vocabulary,
    seed: u64,
    /// A position with nothing to draw.
    empty: Option<usize>,
}

impl Patchy {
    fn new(symbols: usize, seed: u64, empty: Option<usize>) -> Self {
        let vocabulary = Vocabulary::new(symbols + 1, symbols as TokenId).unwrap();
        Self { vocabulary, seed, empty }
    }

    fn banned(&self) -> Vec<TokenId> {
        let mask = self.vocabulary.mask();
        if mask > 1 { vec![mask, 0] } else { vec![mask] }
    }

    fn row(&self, tokens: &[TokenId], position: usize) -> Vec<f32> {
        let mut hash = DefaultHasher::new();
        (self.seed, tokens, position).hash(&mut hash);
        let bits = hash.finish();
        let size = self.vocabulary.size();
        let logit = |token: usize| match bits >> (4 * token) & 7 {
            0..=2 => f32::NEG_INFINITY,
            3 | 4 => 1.0,
            5 => -3.0,
            _ => 2.0,
        };
        let mut row: Vec<f32> = (0..size).map(logit).collect();
        // The last symbol is never banned.
        row[size - 2] = row[size - 2].max(-3.0);
        row[size - 1] = 9.0;
        if self.empty == Some(position) {
            row[..size - 1].fill(f32::NEG_INFINITY);
        }
        row
    }
}

impl Denoiser for Patchy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let (batch, rows) = (request.canvases(), request.rows);
        let logits: Vec<f32> =
            rows.iter().flat_map(|id| self.row(batch[id.sequence].tokens(), id.position)).collect();
        let shape = (rows.len(), self.vocabulary.size());
        let logits = ndarray::Array2::from_shape_vec(shape, logits).map_err(Error::model)?;
        Ok(Answer::new(DenseRows::from_logits(logits), ModelState::new(())))
    }
}

/// The steps that a strategy may take.
#[derive(Clone, Copy)]
enum Steps {
    /// Those of the schedule.
    Schedule,
    /// One a position, or those of the schedule if these are more, and this many further steps a block.
    Positions(usize),
}

/// Every strategy that revokes, and its steps.
fn strategies(a: f64, b: f64) -> Vec<(Revocable, Steps)> {
    let edit =
        |steps| strategy::edit_threshold(a, Edit::new(b).unwrap().post_steps(steps)).unwrap();
    vec![
        (strategy::wino(a, b).unwrap(), Steps::Positions(0)),
        (strategy::rcr(Score::Raw), Steps::Positions(0)),
        (strategy::rcr(Score::Filtered), Steps::Positions(0)),
        (edit(16), Steps::Positions(16)),
        (edit(0), Steps::Positions(0)),
        (PathPlanning::new(4.0 * b).unwrap().into(), Steps::Schedule),
        (ReMdm::cap(a).unwrap().into(), Steps::Schedule),
        (ReMdm::rescale(b).unwrap().into(), Steps::Schedule),
        (ReMdm::looping(b, 0.7, 0.3, 0.5).unwrap().into(), Steps::Schedule),
        (ReMdm::conf().into(), Steps::Schedule),
    ]
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn runs_end_keep_the_prompt_and_never_draw_banned_tokens(
        symbols in 1usize..=4, holes in prop::collection::vec(any::<bool>(), 1..9),
        a in 0.0f64..=1.0, b in 0.0f64..=1.0, per_block in 1usize..6, cut in any::<bool>(), seed: u64,
    ) {
        let last = symbols as TokenId - 1;
        let mask = symbols as TokenId;
        let mut tokens: Vec<TokenId> = holes.iter().map(|&h| if h { mask } else { last }).collect();
        tokens[0] = mask;
        let canvas = Canvas::infill(tokens.clone(), mask).unwrap();
        let span = canvas.free_span().len();
        let blocks = if cut { span } else { 1 };
        let free = tokens.iter().filter(|&&token| token == mask).count();
        for (strategy, steps) in strategies(a, b) {
            let patchy = Patchy::new(symbols, seed, None);
            let banned = patchy.banned();
            let generator = Generator::new(patchy).ban(banned.clone()).unmasker(strategy);
            let even = LladaEven::new(per_block * blocks).unwrap();
            let generator = scheduled(&generator, even)
                .block_length(span / blocks).unwrap()
                .seed(seed);
            let output = generator.run(vec![canvas.clone()], &mut ()).unwrap().remove(0);
            let most = match steps {
                Steps::Schedule => per_block * blocks,
                Steps::Positions(more) => free.max(per_block * blocks) + more * blocks,
            };
            prop_assert!(output.steps <= most, "{} steps", output.steps);
            for (position, &token) in output.tokens.iter().enumerate() {
                if canvas.is_given(position) {
                    prop_assert_eq!(token, tokens[position]);
                } else {
                    prop_assert!(!banned.contains(&token));
                }
            }
        }
    }

    #[test]
    fn an_error_names_a_position_with_nothing_to_draw(
        symbols in 1usize..=4, length in 1usize..7, place: prop::sample::Index, seed: u64,
    ) {
        let position = place.index(length);
        for (strategy, _) in strategies(0.6, 0.5) {
            let patchy = Patchy::new(symbols, seed, Some(position));
            let banned = patchy.banned();
            let generator = Generator::new(patchy).ban(banned).unmasker(strategy);
            let generator = scheduled(&generator, LladaEven::new(3).unwrap()).seed(seed);
            let outcome = generator.run(blank(length, symbols as TokenId), &mut ());
            let named = matches!(
                outcome, Err(Error::EmptyRow { sequence: 0, position: p }) if p == position
            );
            prop_assert!(named, "{:?}", outcome);
        }
    }
}

/// With certain rows the output is deterministic.
#[test]
fn certain_rows_are_not_revised() {
    let certain = TabularJoint::new(3, 2, &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
    for (strategy, _) in strategies(0.6, 0.9) {
        let generator = Generator::new(oracle(&certain)).unmasker(strategy);
        let law = law(&scheduled(&generator, LladaEven::new(3).unwrap()), &certain);
        assert_eq!(law.iter().map(|(x, _)| x.to_vec()).collect::<Vec<_>>(), [[1, 0, 1]]);
    }
    let k = TokensPerStep::new(3).unwrap();
    let marginal = Generator::new(oracle(&certain)).unmasker(Marginal::default()).schedule(k);
    assert_eq!(law(&marginal, &certain).len(), 1);
}
