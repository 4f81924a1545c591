//! Tests a custom model and a custom sampler layer: a row must not depend on the other sequences of its batch.
//!
//!     cargo run --release --example check_model
//!
//! What to see: the model and the layer pass their suites. The same model with a common bug fails: it scales
//! logits by the longest sequence of the batch. The violation names the row that changed when its sequence
//! was alone in the batch.
use conjoint::ndarray::Array2;
use conjoint::prelude::*;
use conjoint_testkit::conformance;

const SYMBOLS: usize = 6;
const MASK: TokenId = SYMBOLS as TokenId;

/// A toy model: each token makes its successor likely to the right of it.
struct Toy {
    vocabulary: Vocabulary,
    scales_by_batch: bool,
}

/// The logits of the requested rows. `sees_right` adds the neighbour on the right.
fn rows(request: &Request<'_>, sees_right: bool, scale: impl Fn(usize) -> f32) -> DenseRows {
    let mut logits = Array2::zeros((request.rows.len(), SYMBOLS + 1));
    for (id, mut row) in request.rows.iter().zip(logits.rows_mut()) {
        let tokens = request.batch[id.sequence].canvas.tokens();
        let symbol = |position: usize| tokens.get(position).filter(|&&token| token != MASK);
        if let Some(&left) = id.position.checked_sub(1).and_then(symbol) {
            row[(left as usize + 1) % SYMBOLS] += 2.0 * scale(tokens.len());
        }
        if let Some(&right) = symbol(id.position + 1).filter(|_| sees_right) {
            row[(right as usize + SYMBOLS - 1) % SYMBOLS] += 2.0 * scale(tokens.len());
        }
    }
    DenseRows::from_logits(logits)
}

impl Denoiser for Toy {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let longest = request.batch.iter().map(|input| input.canvas.len()).max().unwrap_or(1);
        let scale = |own: usize| match self.scales_by_batch {
            true => own as f32 / longest as f32, // the bug
            false => 1.0,
        };
        Ok(Answer::new(rows(request, true, scale), State::new(ToyState)))
    }
}

/// What the model hands to its sampler layer: nothing here, and the hidden states of a real model.
struct ToyState;

/// A sampler layer that is cheaper than the model and less accurate: it ignores the neighbour on the right.
struct ToyLayer;

impl SamplerLayer for ToyLayer {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        state.downcast_mut::<ToyState>()?; // an error for the state of another model
        Ok(rows(request, false, |_| 1.0).into())
    }
}

fn main() -> anyhow::Result<()> {
    let model = |scales_by_batch| {
        Vocabulary::new(SYMBOLS + 1, MASK).map(|vocabulary| Toy { vocabulary, scales_by_batch })
    };
    // Canvases of several lengths, some partly known, each with at least two masked positions.
    let canvases = [Canvas::new(&[2], 5, MASK)?, Canvas::infill(vec![MASK, 1, MASK, MASK], MASK)?];
    conformance::denoiser("toy", &model(false)?, &canvases, 0.0)?;
    println!("the model conforms");
    conformance::sampler_layer("toy", &model(false)?, &ToyLayer, &canvases, 0.0)?;
    println!("the layer conforms");
    if let Err(violation) = conformance::denoiser("buggy toy", &model(true)?, &canvases, 0.0) {
        println!("violation: {violation}");
    }
    Ok(())
}
