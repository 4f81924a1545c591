//! Groups of sequences in passes over rows.

use std::sync::Arc;

use conjoint_core::{Canvas, TokenId};
use ort::value::DynValue;

/// Sequences that took part in the same passes of a step.
pub(crate) struct Group {
    /// The id of the layer that ran the passes.
    pub layer: u64,
    pub members: Vec<Member>,
    pub tensors: Tensors,
}

/// One sequence of a group.
pub(crate) struct Member {
    /// Its index in the batch of the forward pass.
    pub sequence: usize,
    /// Its index along B. A sequence that no longer takes part keeps its lane, and still costs its part of
    /// attention.
    pub lane: usize,
    /// The positions that a pass may compute, each with its index in the hidden states.
    pub open: Vec<(usize, usize)>,
    /// Its tokens in the last pass; before the first, in the forward pass.
    pub tokens: Vec<TokenId>,
}

/// The tensors that a pass reads from the previous one.
#[derive(Clone)]
pub(crate) struct Tensors {
    /// B.
    pub lanes: usize,
    /// Hidden states of the last pass [A, 1, D], or of the forward pass [B, T, D].
    pub hidden: Arc<DynValue>,
    /// Keys and values of all positions after the last pass.
    pub cache: Arc<[DynValue; 2]>,
    /// `bias`, `cos` and `sin` of the context.
    pub frame: Arc<[DynValue; 3]>,
}

impl Member {
    /// Whether a pass can continue from the last one: its rows were open there, and no other position has
    /// changed since.
    pub fn can_continue(&self, canvas: &Canvas, positions: &[usize]) -> bool {
        let is_open = |position: &usize| self.open.iter().any(|(open, _)| open == position);
        positions.iter().all(is_open) && changed_positions(&self.tokens, canvas).iter().all(is_open)
    }
}

/// The positions at which the canvas differs from `tokens`.
pub(crate) fn changed_positions(tokens: &[TokenId], canvas: &Canvas) -> Vec<usize> {
    let now = canvas.tokens().iter().zip(tokens);
    now.enumerate()
        .filter(|(_, (now, before))| now != before)
        .map(|(position, _)| position)
        .collect()
}
