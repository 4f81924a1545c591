//! Strategies on scripted rows, the likeliest token drawn: which positions each step reveals.

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::observer::Reveal;
use conjoint_core::policy::SlowFast;
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Observer, State, TokenId, Vocabulary,
};
use ndarray::Array2;

/// Four tokens and the mask. The likeliest token of every row is 0, with the probability that the script
/// gives it for (tokens revealed, position); the others share the rest.
struct Script {
    vocabulary: Vocabulary,
    probability: fn(usize, usize) -> f64,
}

const MASK: TokenId = 4;

impl Denoiser for Script {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let mut logits = Array2::from_elem((rows.len(), 5), f32::NEG_INFINITY);
        for (mut row, id) in logits.rows_mut().into_iter().zip(rows) {
            let revealed = batch[id.sequence].revealed().count();
            let p = (self.probability)(revealed, id.position);
            row[0] = p.ln() as f32;
            (1..4).for_each(|token| row[token] = ((1.0 - p) / 3.0).ln() as f32);
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

/// The positions revealed by each step, ascending.
#[derive(Default)]
struct Steps(Vec<Vec<usize>>);

impl Observer for Steps {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0.resize(self.0.len().max(reveal.step + 1), Vec::new());
        self.0[reveal.step].push(reveal.position);
        self.0[reveal.step].sort_unstable();
    }
}

fn steps(
    length: usize,
    probability: fn(usize, usize) -> f64,
    strategy: impl Into<Strategy>,
) -> Vec<Vec<usize>> {
    let script = Script { vocabulary: Vocabulary::new(5, MASK).unwrap(), probability };
    let mut steps = Steps::default();
    let canvas = Canvas::unconditional(length, MASK).unwrap();
    Generator::new(script).unmasker(strategy).draw(Argmax).run(vec![canvas], &mut steps).unwrap();
    steps.0
}

/// At most ⌊0.7 m⌋ of m, brought into 5 … 20.
#[test]
fn wino_is_bold_within_its_limits() {
    let counts = |length| -> Vec<usize> {
        let steps = steps(length, |_, _| 1.0, strategy::wino(0.6, 0.0).unwrap());
        steps.iter().map(Vec::len).collect()
    };
    assert_eq!(counts(40), [20, 14, 5, 1]);
    assert_eq!(counts(20), [14, 5, 1]);
    assert_eq!(counts(4), [4]);
    // Of rows that are not sure enough, the best one alone.
    let unsure = steps(
        8,
        |_, position| if position < 2 { 0.9 } else { 0.5 },
        strategy::wino(0.95, 0.0).unwrap(),
    );
    assert!(unsure.iter().all(|step| step.len() == 1), "{unsure:?}");
}

/// Exploring finds a span of four; filling it, nothing beyond is looked at, however sure it has become.
#[test]
fn slow_fast_fills_the_span_that_clears_the_span_confidence() {
    let script = |revealed: usize, position: usize| match (revealed, position) {
        (0, 0) => 0.95,
        (0, 3) => 0.6,
        (0, _) => 0.4,
        // From the second step on, all beyond the span is sure, and nothing within.
        (_, 4..) => 0.99,
        (_, inside) => 0.5 + 0.1 * inside as f64,
    };
    let steps = steps(8, script, strategy::slow_fast(SlowFast::new(1, 0.5, 0.9).unwrap()));
    assert_eq!(steps, [vec![0], vec![3], vec![2], vec![1], vec![4, 5, 6, 7]]);
}
