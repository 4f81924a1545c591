//! Unmaskers and draws that make an illegal move, no progress or no end.

use crate::flat::Flat;
use crate::model::MASK;
use conjoint_core::unmasker::Drawn;
use conjoint_core::{Canvas, Error, Generator, Next, Row, Unmasker, View};
use conjoint_core::{Draw, Stream};

/// Reveals the first masked position, and masks the first revealed one.
#[derive(Clone)]
struct RemasksForEver;

impl Unmasker for RemasksForEver {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let revealed = (0..view.canvas().len()).find(|&p| !view.canvas().is_masked(p));
        if let Some(position) = revealed {
            view.remask(position);
        }
        let drawn = view.draw(Row::candidate(0))?;
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::EndStep)
    }
}

/// Reveals a token outside the vocabulary.
#[derive(Clone)]
struct RevealsUnknownToken;

impl Unmasker for RevealsUnknownToken {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.reveal(Row::candidate(0), Drawn { token: 9, probability: 1.0 });
        Ok(Next::EndStep)
    }
}

/// Requests a sampler pass without a sampler layer, after one reveal or none.
#[derive(Clone)]
struct RefinesWithoutLayer {
    reveals: bool,
}

impl Unmasker for RefinesWithoutLayer {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        if self.reveals {
            let drawn = view.draw(Row::candidate(0))?;
            view.reveal(Row::candidate(0), drawn);
        }
        Ok(Next::Refine)
    }
}

struct OutOfRange;

impl Draw for OutOfRange {
    fn draw(&self, logits: &[f32], _: &mut dyn Stream) -> usize {
        logits.len() + 1
    }
}

#[test]
fn are_reported() {
    let run = |generator: Generator| {
        generator.run(vec![Canvas::unconditional(6, MASK).unwrap()], &mut ()).unwrap_err()
    };
    let flat = || Generator::new(Flat::new());
    assert!(matches!(
        run(flat().unmasker(RemasksForEver)),
        Error::StepLimitExceeded { sequence: 0, .. }
    ));
    let forged = run(flat().unmasker(RevealsUnknownToken));
    assert!(matches!(forged, Error::UnknownToken { token: 9, position: 0, size: 5, .. }));
    let drawn = run(flat().draw(OutOfRange));
    assert!(matches!(drawn, Error::UnknownToken { token: 6, .. }), "{drawn}");
    let no_reveal = run(flat().unmasker(RefinesWithoutLayer { reveals: false }));
    assert!(matches!(no_reveal, Error::NoProgress { sequence: 0, step: 0 }));
    assert!(matches!(
        run(flat().unmasker(RefinesWithoutLayer { reveals: true })),
        Error::NoSamplerLayer
    ));
}
