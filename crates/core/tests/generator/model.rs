//! A model of four tokens and the mask, which draws any of them, and helpers for runs over it.

use std::sync::atomic::{AtomicUsize, Ordering};

use conjoint_core::Run;
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, Event, Generator, State, Vocabulary};
use ndarray::Array2;

pub const MASK: u32 = 4;

/// All tokens are equally probable. From the second step on, rows of canvases that begin with token 3 are NaN.
#[derive(Default)]
pub struct Model {
    pub calls: AtomicUsize,
}

impl Denoiser for Model {
    fn vocabulary(&self) -> &Vocabulary {
        static VOCABULARY: std::sync::OnceLock<Vocabulary> = std::sync::OnceLock::new();
        VOCABULARY.get_or_init(|| Vocabulary::new(5, MASK).unwrap().with_eos(0).unwrap())
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut logits = Array2::zeros((request.rows.len(), 5));
        for (mut row, id) in logits.rows_mut().into_iter().zip(request.rows) {
            let canvas = request.batch[id.sequence].canvas;
            let known = canvas.tokens().iter().filter(|&&token| token != MASK).count();
            if canvas.tokens()[0] == 3 && known > 1 {
                row.fill(f32::NAN);
            }
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

pub fn generator() -> Generator {
    Generator::new(Model::default())
}

pub fn canvas(first: u32, length: usize) -> Canvas {
    Canvas::new(&[first], length, MASK).unwrap()
}

/// Steps to the end and returns the events of each step.
pub fn events(run: &mut Run) -> Vec<Vec<Event>> {
    let mut all = Vec::new();
    while !run.is_done() {
        all.push(run.step().unwrap().to_vec());
    }
    all
}
