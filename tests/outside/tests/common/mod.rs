//! A model with exact conditionals, and canvases for it.

use conjoint::prelude::*;
use conjoint_testkit::{TabularDenoiser, TabularJoint};

/// The exact denoiser of a joint law over eight tokens of two symbols.
pub fn model() -> TabularDenoiser {
    TabularDenoiser::new(joint(8, 2)).unwrap()
}

/// A joint law whose tokens depend on each other.
pub fn joint(length: usize, symbols: usize) -> TabularJoint {
    TabularJoint::random(length, symbols, 0.3, 11).unwrap()
}

/// Canvases for the model with no, four and two tokens given.
pub fn canvases() -> Vec<Canvas> {
    let given = [[2; 8], [0, 1, 1, 0, 2, 2, 2, 2], [2, 0, 2, 2, 2, 1, 2, 2]];
    given.map(|tokens| Canvas::infill(tokens.to_vec(), 2).unwrap()).to_vec()
}
