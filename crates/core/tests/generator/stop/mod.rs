//! Sequences that end before their last position: the requests, the events, the outputs and the law.

use crate::common::oracle;
use conjoint_core::TokenId;
use conjoint_testkit::{TabularDenoiser, TabularJoint};

mod ends;
mod events;
mod law;

/// The symbol that ends a sequence, and the one that pads it.
const EOS: TokenId = 0;

const PAD: TokenId = 1;

fn model(joint: &TabularJoint) -> TabularDenoiser {
    oracle(joint).with_eos(EOS).unwrap().with_pad(PAD).unwrap()
}

/// The first end that was generated.
fn end_of(tokens: &[TokenId], is_given: impl Fn(usize) -> bool) -> Option<usize> {
    (0..tokens.len()).find(|&i| tokens[i] == EOS && !is_given(i))
}

/// The sequence with padding behind its first generated end. Given tokens stay.
fn padded(tokens: &[TokenId], is_given: impl Fn(usize) -> bool) -> Vec<TokenId> {
    let end = end_of(tokens, &is_given).unwrap_or(tokens.len());
    (0..tokens.len()).map(|i| if i > end && !is_given(i) { PAD } else { tokens[i] }).collect()
}
