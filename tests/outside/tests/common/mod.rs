//! A model that knows the truth, and sequences for it.

use conjoint::prelude::*;
use conjoint_testkit::{TabularDenoiser, TabularJoint};

/// The perfect denoiser of a joint of eight tokens over two symbols.
pub fn model() -> TabularDenoiser {
    TabularDenoiser::new(joint(8, 2)).unwrap()
}

/// A joint in which tokens depend on each other.
pub fn joint(length: usize, symbols: usize) -> TabularJoint {
    TabularJoint::random(length, symbols, 0.3, 11).unwrap()
}

/// Sequences for the model: none, some and every other token given, so that eight or four positions are generated.
pub fn canvases() -> Vec<Canvas> {
    let given = [[2; 8], [0, 1, 1, 0, 2, 2, 2, 2], [2, 0, 2, 2, 2, 1, 2, 2]];
    given.map(|tokens| Canvas::infill(tokens.to_vec(), 2).unwrap()).to_vec()
}
