//! The passes of one sampler layer within a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::{Canvas, TokenId};
use ort::value::DynValue;

/// What the passes of a sampler layer have computed since the forward pass.
pub(crate) struct LayerPasses {
    /// Hidden states [P, D], in the order of [`Hidden::value`](crate::hidden::Hidden::value). Those of the rows of
    /// a pass are replaced.
    pub hidden: Arc<DynValue>,
    /// Keys and values [P, kv_heads · d] of each layer, in the same order. Used by passes over rows only; empty
    /// before the first.
    pub keys_values: Vec<Arc<DynValue>>,
    /// The sequences that have taken part in passes over rows, by their index in the batch.
    pub members: BTreeMap<usize, Member>,
}

/// A sequence that takes part in passes over rows.
pub(crate) struct Member {
    /// The positions that the next pass may compute.
    pub open: Vec<usize>,
    /// Its tokens in the last pass; before the first, in the forward pass.
    pub tokens: Vec<TokenId>,
}

impl LayerPasses {
    /// No pass yet.
    pub fn after_forward(hidden: &Arc<DynValue>) -> Self {
        let hidden = Arc::clone(hidden);
        Self { hidden, keys_values: Vec::new(), members: BTreeMap::new() }
    }
}

impl Member {
    /// Whether a pass can continue from the last one: its rows were open there, and no other position has
    /// changed since.
    pub fn can_continue(&self, canvas: &Canvas, positions: &[usize]) -> bool {
        let is_open = |position: &usize| self.open.contains(position);
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
