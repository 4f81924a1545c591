//! Keys and values of sampler layers that a session keeps from step to step.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::TokenId;
use ort::value::DynValue;

/// The contexts of all sampler layers that a session has met, by the layer's id.
///
/// In a sampler of one layer, keys and values before the first pass of a step depend on a position's token and
/// hidden state only. So only those are computed again whose token or hidden state has changed.
#[derive(Default)]
pub(crate) struct Contexts {
    /// For each row of the session's pool, a number that changes whenever its hidden state does.
    pub versions: Vec<u64>,
    pub layers: BTreeMap<u64, Context>,
}

/// The context of one sampler layer.
#[derive(Default)]
pub(crate) struct Context {
    /// Keys and values [M, kv_heads · d] of each layer, in the rows of the session's pool.
    pub keys_values: Vec<Arc<DynValue>>,
    /// For each row, the version of the hidden state and the token that its keys and values are of.
    computed: Vec<Option<(u64, TokenId)>>,
}

impl Context {
    /// M.
    pub fn rows(&self) -> usize {
        self.computed.len()
    }

    /// Records that the pool has this many rows.
    pub fn resize(&mut self, rows: usize) {
        self.computed.resize(rows, None);
    }

    /// Whether the keys and values of a row are not those of this hidden state and token.
    pub fn is_stale(&self, row: usize, version: u64, token: TokenId) -> bool {
        self.computed[row] != Some((version, token))
    }

    /// Records that the keys and values of a row were computed.
    pub fn record(&mut self, row: usize, version: u64, token: TokenId) {
        self.computed[row] = Some((version, token));
    }
}
