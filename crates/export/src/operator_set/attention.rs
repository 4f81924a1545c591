//! Attention, and the mask of padding.

use conjoint_format::blueprint::Blueprint;

use super::rotary::{Rope, RowPositions, angles, range};
use super::set::OperatorSet;
use crate::graph::{Attribute, Graph};
use crate::value::Value;

/// `Concat` along the first axis.
pub(crate) const AXIS_0: &[(&str, Attribute)] = &[("axis", Attribute::Int(0))];

/// Values that all layers of a graph over whole sequences share. Computed once at its start.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The mask of padding keys. `Fused`: bool [B, 1, T, T]. `Portable`: f32 [B, 1, 1, T], to be added to the
    /// scores.
    pub(crate) mask: Value,
    /// i64 [T]: 0, 1, 2, …
    pub(crate) range: Value,
    /// The rows' positions: all positions of each sequence.
    pub(crate) positions: RowPositions,
}

/// Added to the score of a padding key. It is finite, so a row without any key does not become NaN. It is far
/// below every real score, so the weight of padding is exactly zero beside a real key's.
pub(crate) const MASKED_SCORE: f32 = -1e30;

impl OperatorSet {
    /// Computes the values that all layers share, from `input_ids` i64 [B, T] and `key_mask` bool [B, T].
    ///
    /// cos and sin are computed from the positions. So a graph holds d/2 frequencies and accepts every T,
    /// instead of holding a table up to some length.
    pub(crate) fn frame(
        self,
        graph: &mut Graph,
        blueprint: &Blueprint,
        input_ids: &Value,
        key_mask: &Value,
    ) -> Frame {
        graph.scope("frame");
        let shape = graph.op("Shape", &[input_ids]);
        let (range, length) = range(graph, &shape);
        let mut angles = angles(graph, &Rope::of(blueprint), &range);

        let axes = graph.ints(&[1, 2]);
        let keys = graph.op("Unsqueeze", &[key_mask, &axes]); // [B, 1, 1, T]
        let (mask, positions) = match self {
            Self::Fused => {
                // The CPU provider does not broadcast a mask along the queries.
                let (once, vector) = (graph.ints(&[1]), graph.ints(&[-1]));
                let length = graph.op("Reshape", &[&length, &vector]);
                let full = graph.node("Concat", &[&once, &once, &length, &once], AXIS_0);
                (graph.op("Expand", &[&keys, &full]), graph.op("Expand", &[&range, &shape]))
            }
            Self::Portable => {
                let column = graph.ints(&[1]);
                angles = graph.op("Unsqueeze", &[&angles, &column]);
                let (unmasked, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
                (graph.op("Where", &[&keys, &unmasked, &masked]), range.clone())
            }
        };
        let (cos, sin) = (graph.op("Cos", &[&angles]), graph.op("Sin", &[&angles]));
        Frame { mask, range, positions: RowPositions { cos, sin, positions, shape } }
    }

    /// The mask of keys for [`attention`](Self::attention): all keys except padding or, with `window`, those at
    /// most `window` away. `range` is i64 \[T\]: 0, 1, 2, …; `length` is T.
    pub(crate) fn mask(
        self,
        graph: &mut Graph,
        key_mask: &Value,
        [range, length]: [&Value; 2],
        window: Option<usize>,
    ) -> Value {
        let axes = graph.ints(&[1, 2]);
        let mut keys = graph.op("Unsqueeze", &[key_mask, &axes]); // [B, 1, 1, T]
        if let Some(window) = window {
            let (row, column) = (graph.ints(&[0]), graph.ints(&[1]));
            let keys_at = graph.op("Unsqueeze", &[range, &row]);
            let queries_at = graph.op("Unsqueeze", &[range, &column]);
            let distance = graph.op("Sub", &[&queries_at, &keys_at]);
            let distance = graph.op("Abs", &[&distance]);
            let window = graph.int(window as i64);
            let near = graph.op("LessOrEqual", &[&distance, &window]); // [T, T]
            keys = graph.op("And", &[&keys, &near]); // [B, 1, T, T]
        }
        match (self, window) {
            (Self::Fused, Some(_)) => keys,
            (Self::Fused, None) => {
                let (once, vector) = (graph.ints(&[1]), graph.ints(&[-1]));
                let length = graph.op("Reshape", &[length, &vector]);
                let full = graph.node("Concat", &[&once, &once, &length, &once], AXIS_0);
                graph.op("Expand", &[&keys, &full])
            }
            (Self::Portable, _) => {
                let (unmasked, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
                graph.op("Where", &[&keys, &unmasked, &masked])
            }
        }
    }

    /// softmax(q kᵀ / √d + mask) v without a causal mask, from q [B, T, heads · d] and k, v
    /// [B, T, kv_heads · d] to [B, T, heads · d]. Consecutive query heads share a key head.
    pub(crate) fn attention(
        self,
        graph: &mut Graph,
        blueprint: &Blueprint,
        mask: &Value,
        [q, k, v]: [&Value; 3],
    ) -> Value {
        let (heads, kv_heads) = (blueprint.heads as i64, blueprint.kv_heads as i64);
        let head_dim = blueprint.head_dim as i64;
        let scale = (blueprint.head_dim as f32).sqrt().recip();
        match self {
            Self::Fused => graph.node(
                "Attention",
                &[q, k, v, mask],
                &[
                    ("q_num_heads", Attribute::Int(heads)),
                    ("kv_num_heads", Attribute::Int(kv_heads)),
                    ("scale", Attribute::Float(scale)),
                ],
            ),
            Self::Portable => {
                let mut by_head = |x: &Value, heads: i64, order: &[i64]| {
                    let shape = graph.ints(&[0, 0, heads, head_dim]);
                    let x = graph.op("Reshape", &[x, &shape]);
                    graph.node("Transpose", &[&x], &[("perm", Attribute::Ints(order))])
                };
                let q = by_head(q, heads, &[0, 2, 1, 3]);
                let k = by_head(k, kv_heads, &[0, 2, 3, 1]); // transposed: [B, kv_heads, d, T]
                let v = by_head(v, kv_heads, &[0, 2, 1, 3]);
                // Stack the queries of the heads that share a key head, which avoids repeating keys and values:
                // [B, kv_heads, heads / kv_heads · T, d].
                let grouped = graph.ints(&[0, kv_heads, -1, head_dim]);
                let q = graph.op("Reshape", &[&q, &grouped]);
                let scale = graph.float(scale);
                let q = graph.op("Mul", &[&q, &scale]);
                let scores = graph.op("MatMul", &[&q, &k]);
                let scores = graph.op("Add", &[&scores, mask]);
                let weights = graph.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
                let mixed = graph.op("MatMul", &[&weights, &v]);
                let ungrouped = graph.ints(&[0, heads, -1, head_dim]);
                let mixed = graph.op("Reshape", &[&mixed, &ungrouped]);
                let order = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
                let mixed = graph.node("Transpose", &[&mixed], &order);
                let flat = graph.ints(&[0, 0, heads * head_dim]);
                graph.op("Reshape", &[&mixed, &flat])
            }
        }
    }
}
