//! `View::narrow_to` without candidates.

use crate::model::{canvas, generator};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::{Error, Next, Unmasker, View};

/// Draws one token, then narrows the rest of the step to nothing.
#[derive(Clone)]
struct NarrowsToNothing;

impl Unmasker for NarrowsToNothing {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let row = view.ranked(0);
        let drawn = view.draw(row)?;
        view.reveal(row, drawn);
        view.narrow_to([]);
        Ok(Next::Refine)
    }
}

#[test]
fn a_step_narrowed_to_nothing_ends() {
    let generator = generator().unmasker(NarrowsToNothing).schedule(TokensPerStep::new(3).unwrap());
    let output = generator.run(vec![canvas(1, 3)], &mut ()).unwrap().remove(0);
    assert_eq!((output.steps, output.sampler_calls), (3, 0));
}
