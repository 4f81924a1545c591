//! Revocable strategies at the edges of their rules: probabilities equal to a threshold, caps, ties, and
//! which of a row's two versions they look at, that of the model or that after the filters.

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::observer::Reveal;
use conjoint_core::reviser::Edit;
use conjoint_core::schedule::{Linear, LladaEven};
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::unmasker::{PathPlanning, Score};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Observer, RowId, RowStats, State, TokenId,
    Vocabulary,
};

const MASK: TokenId = 2;

/// Two symbols, whose logits are a function of the canvas and the position.
struct Rows<F>(Vocabulary, F);

impl<F: Fn(&Canvas, usize) -> [f32; 2] + Send + Sync> Denoiser for Rows<F> {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let row = |id: &RowId| {
            let [zero, one] = (self.1)(batch[id.sequence], id.position);
            [zero, one, f32::NEG_INFINITY]
        };
        let logits: Vec<f32> = rows.iter().flat_map(row).collect();
        let logits = ndarray::Array2::from_shape_vec((rows.len(), 3), logits);
        Ok(Answer::new(DenseRows::from_logits(logits.map_err(Error::model)?), State::new(())))
    }
}

/// Argmax draws over these rows.
fn greedy(
    rows: impl Fn(&Canvas, usize) -> [f32; 2] + Send + Sync + 'static,
    strategy: impl Into<Strategy>,
) -> Generator {
    let model = Rows(Vocabulary::new(3, MASK).unwrap(), rows);
    Generator::new(model).unmasker(strategy).draw(Argmax)
}

/// Positions revealed and masked again, by step.
#[derive(Default)]
struct Moves {
    revealed: Vec<Vec<usize>>,
    revoked: Vec<Vec<usize>>,
    forwards: Vec<usize>,
}

impl Observer for Moves {
    fn on_forward(&mut self, _: usize, _: usize, calls: usize) {
        self.revealed.push(Vec::new());
        self.revoked.push(Vec::new());
        self.forwards.push(calls);
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.revealed.last_mut().unwrap().push(reveal.position);
    }

    fn on_remask(&mut self, _: usize, _: usize, position: usize) {
        self.revoked.last_mut().unwrap().push(position);
    }
}

fn moves(generator: &Generator, length: usize) -> (Moves, Vec<TokenId>) {
    let mut moves = Moves::default();
    let canvas = Canvas::unconditional(length, MASK).unwrap();
    let outputs = generator.run(vec![canvas], &mut moves).unwrap();
    (moves, outputs[0].tokens.clone())
}

fn counts(steps: &[Vec<usize>]) -> Vec<usize> {
    steps.iter().map(Vec::len).collect()
}

/// The probability of symbol 1, to the last bit as strategies see it.
fn probability(row: [f32; 2]) -> f64 {
    RowStats::of(&[row[0], row[1], f32::NEG_INFINITY]).unwrap().probability(row[1])
}

const UNSURE: [f32; 2] = [0.0, 1.0];
const SURE: [f32; 2] = [0.0, 6.0];

/// Wants a 0 wherever a 1 stands.
fn fickle(canvas: &Canvas, position: usize) -> [f32; 2] {
    if canvas.tokens()[position] == 1 { [1.0, 0.0] } else { SURE }
}

/// 0.73 is no more than 0.73: "above" a threshold and "below" one are strict.
#[test]
fn thresholds_are_strict() {
    let p = probability(UNSURE);
    let steps = |strategy: Strategy| counts(&moves(&greedy(|_, _| UNSURE, strategy), 4).0.revealed);
    let wino = |reveal: f64| strategy::wino(reveal, 0.0).unwrap();
    let edit = |reveal: f64| strategy::edit_threshold(reveal, Edit::new(1.0).unwrap()).unwrap();
    assert_eq!((steps(wino(p)), steps(edit(p))), (vec![1; 4], vec![1; 4]));
    assert_eq!((steps(wino(p - 1e-9)), steps(edit(p - 1e-9))), (vec![4], vec![4]));

    // Five of eight are revealed first, and doubted in the second step.
    let revoked = |keep: f64| {
        let wino = strategy::wino(0.5, keep).unwrap();
        counts(&moves(&greedy(|_, _| UNSURE, wino), 8).0.revoked)[1]
    };
    assert_eq!((revoked(p), revoked(p + 1e-9)), (0, 4));

    let edited = |edit: f64| {
        let edit = strategy::edit_threshold(0.5, Edit::new(edit).unwrap().post_steps(1)).unwrap();
        moves(&greedy(fickle, edit), 3).1
    };
    assert_eq!((edited(p), edited(p - 1e-9)), (vec![1; 3], vec![0; 3]));
}

/// ⌊0.7 m⌋ brought into 5 … 20.
#[test]
fn wino_reveals_no_more_than_its_cap() {
    let steps = |length: usize| {
        let wino = strategy::wino(0.6, 0.0).unwrap();
        counts(&moves(&greedy(|_, _| SURE, wino), length).0.revealed)
    };
    assert_eq!(steps(5), [5]);
    assert_eq!(steps(8), [5, 3]);
    assert_eq!(steps(10), [7, 3]);
    assert_eq!(steps(29), [20, 6, 3]);
    assert_eq!(steps(40), [20, 14, 5, 1]);
}

/// Once something is known it wants 0s, so that the 1s of the first step are doubted, all alike. The second
/// step may revoke one fewer than the first revealed: the leftmost.
#[test]
fn wino_revokes_the_leftmost_of_equals() {
    let rows = |canvas: &Canvas, _: usize| match canvas.revealed().next() {
        Some(_) => [6.0, 0.0],
        None => SURE,
    };
    let (moves, tokens) = moves(&greedy(rows, strategy::wino(0.6, 0.9).unwrap()), 8);
    assert_eq!(moves.revealed, [vec![0, 1, 2, 3, 4], vec![5, 6, 7], vec![0, 1, 2, 3], vec![4]]);
    assert_eq!(moves.revoked, [vec![], vec![0, 1, 2, 3], vec![4], vec![]]);
    assert_eq!(tokens, [0; 8]);
}

/// A step that follows on a single reveal may revoke nothing, and so asks nothing.
#[test]
fn wino_asks_only_what_it_may_act_on() {
    let wino = strategy::wino(1.0, 0.9).unwrap();
    assert_eq!(moves(&greedy(|_, _| UNSURE, wino), 4).0.forwards, [1; 4]);
}

/// In rows made five times as sharp, 0.73 is 0.99. WINO looks at the model's rows.
#[test]
fn wino_looks_at_raw_rows() {
    let sharp = |reveal: f64, keep: f64| {
        let wino = strategy::wino(reveal, keep).unwrap();
        let generator = greedy(|_, _| UNSURE, wino).filter(Temperature::new(0.2).unwrap());
        moves(&generator, 8).0
    };
    assert_eq!(counts(&sharp(0.9, 0.0).revealed), [1; 8]);
    assert_eq!(counts(&sharp(0.6, 0.9).revoked)[..2], [0, 4]);
}

/// Each has its own step after it is full, in which its 1s become 0s.
#[test]
fn every_block_is_edited_for_as_long() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(1)).unwrap();
    let (moves, tokens) = moves(&greedy(fickle, edit).block_length(2).unwrap(), 6);
    assert_eq!((moves.forwards.len(), tokens), (6, vec![0; 6]));
}

/// LLaDA2.1 looks at the filtered ones.
#[test]
fn edits_look_at_filtered_rows() {
    let edit = strategy::edit_threshold(0.9, Edit::new(1.0).unwrap()).unwrap();
    let generator = greedy(|_, _| UNSURE, edit).filter(Temperature::new(0.2).unwrap());
    assert_eq!(counts(&moves(&generator, 4).0.revealed), [4]);
}

/// Position 0 is known with 0.6 and then 0.7 of the others' 0.65: who is masked again depends on whether the
/// score it has is that of its first step or that of now.
#[test]
fn rcr_remembers_and_p2_asks_again() {
    let log_odds = |p: f32| [0.0, (p / (1.0 - p)).ln()];
    let rows = move |canvas: &Canvas, position: usize| {
        let is_first = canvas.revealed().next().is_none();
        log_odds(match (position, is_first) {
            (0, true) => 0.6,
            (0, false) => 0.7,
            (_, true) => 0.55,
            (_, false) => 0.65,
        })
    };
    let linear = || Linear::new(3).unwrap();
    let rcr = moves(&greedy(rows, strategy::rcr(Score::Filtered)).schedule(linear()), 3).0;
    assert_eq!((&rcr.revealed[0], &rcr.revoked[1]), (&vec![0], &vec![0]));
    let p2 = moves(&greedy(rows, PathPlanning::default()).schedule(linear()), 3).0;
    assert_eq!((&p2.revealed[0], &p2.revoked[1]), (&vec![0], &vec![]));
    // What stands is asked about on the canvas as it is.
    assert_eq!(p2.forwards, [1; 3]);
}

/// Among equals what is known stays, and the leftmost of the others comes first.
#[test]
fn equals_stay_and_the_leftmost_come_first() {
    for strategy in [strategy::rcr(Score::Filtered), PathPlanning::default().into()] {
        let generator = greedy(|_, _| UNSURE, strategy).schedule(Linear::new(3).unwrap());
        let moves = moves(&generator, 3).0;
        assert_eq!(moves.revealed, [[0], [1], [2]]);
        assert_eq!(moves.revoked, [[0; 0]; 3]);
    }
}

/// Position 0 is the least sure by the model's row and the surest by the filtered one. RCR goes by either, P2 by
/// the latter, for what it draws and for what stands.
#[test]
fn rcr_and_p2_look_at_the_rows_they_should() {
    use conjoint_core::filter::{Filter, FilterRow};
    /// Leaves position 0 nothing but symbol 1.
    struct Sharpen;
    impl Filter for Sharpen {
        fn apply(&self, row: &mut FilterRow<'_>) {
            if row.position == 0 {
                row.logits[0] = f32::NEG_INFINITY;
            }
        }
    }
    let rows = |_: &Canvas, position: usize| if position == 0 { UNSURE } else { SURE };
    let moves = |strategy: Strategy| {
        let generator = greedy(rows, strategy).filter(Sharpen);
        moves(&generator.schedule(LladaEven::new(3).unwrap()), 3).0
    };
    assert_eq!(moves(strategy::rcr(Score::Filtered)).revealed, [[0], [1], [2]]);
    assert_eq!(moves(strategy::rcr(Score::Raw)).revealed, [[1], [2], [0]]);
    let p2 = moves(PathPlanning::default().into());
    assert_eq!((p2.revealed, p2.revoked), (vec![vec![0], vec![1], vec![2]], vec![vec![]; 3]));
}
