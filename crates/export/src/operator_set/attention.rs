//! Attention, and the mask of keys.

use conjoint_format::blueprint::Blueprint;

use super::set::OperatorSet;
use crate::graph::{Attribute, Graph};
use crate::value::Value;

/// `Concat` along the first axis.
const AXIS_0: &[(&str, Attribute)] = &[("axis", Attribute::Int(0))];

/// Added to the score of a masked key. It is finite, so a row without any key does not become NaN. It is far
/// below every real score, so the weight of such a key is exactly zero beside a real key's.
pub(crate) const MASKED_SCORE: f32 = -1e30;

/// The keys that a query attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All keys of its sequence.
    Everything,
    /// Keys at most this many positions away.
    Window(usize),
    /// Keys of its own block of this many positions, and of earlier blocks. Blocks count from position 0.
    Blocks(usize),
}

impl Reach {
    /// The reach of decoder layers.
    pub(crate) fn of(blueprint: &Blueprint) -> Self {
        blueprint.attention_block.map_or(Self::Everything, Self::Blocks)
    }
}

/// The positions of the slots in which attention runs.
pub(crate) struct SlotPositions<'a> {
    /// Of all rows: i64 \[N\].
    pub(crate) rows: &'a Value,
    /// The row in each slot for a query: i64 [B, S].
    pub(crate) queries: &'a Value,
    /// Of the keys: i64 [B, K], −1 for padding.
    pub(crate) keys: &'a Value,
}

impl OperatorSet {
    /// The mask of keys for [`attention`](Self::attention). `Fused`: bool [B, 1, S, K]. `Portable`: f32 to be
    /// added to the scores, [B, 1, 1, K], or [B, 1, heads / kv_heads · S, K] if it depends on the query.
    pub(crate) fn mask(
        self,
        graph: &mut Graph,
        blueprint: &Blueprint,
        slots: &SlotPositions<'_>,
        reach: Reach,
    ) -> Value {
        let (zero, axes) = (graph.int(0), graph.ints(&[1, 2]));
        let is_key = graph.op("GreaterOrEqual", &[slots.keys, &zero]);
        let mut keys = graph.op("Unsqueeze", &[&is_key, &axes]); // [B, 1, 1, K]
        if let Some(reached) = reached(graph, reach, slots) {
            keys = graph.op("And", &[&keys, &reached]); // [B, 1, S, K]
        }
        match (self, reach) {
            (Self::Fused, Reach::Everything) => {
                // The CPU provider does not broadcast a mask along the queries.
                let once = graph.ints(&[1]);
                let shape = graph.op("Shape", &[slots.queries]);
                let count = graph.op("Gather", &[&shape, &once]);
                let full = graph.node("Concat", &[&once, &once, &count, &once], AXIS_0);
                graph.op("Expand", &[&keys, &full])
            }
            (Self::Fused, _) => keys,
            (Self::Portable, _) => {
                let (unmasked, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
                let bias = graph.op("Where", &[&keys, &unmasked, &masked]);
                let groups = blueprint.heads / blueprint.kv_heads;
                match reach {
                    // The queries of the heads that share a key head are stacked.
                    Reach::Window(_) | Reach::Blocks(_) if groups > 1 => {
                        let copies = vec![&bias; groups];
                        graph.node("Concat", &copies, &[("axis", Attribute::Int(2))])
                    }
                    _ => bias,
                }
            }
        }
    }

    /// softmax(q kᵀ / √d + mask) v, from q [B, S, heads · d] and k, v [B, K, kv_heads · d] to [B, S, heads · d].
    /// Consecutive query heads share a key head.
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
                let k = by_head(k, kv_heads, &[0, 2, 3, 1]); // transposed: [B, kv_heads, d, K]
                let v = by_head(v, kv_heads, &[0, 2, 1, 3]);
                // Stack the queries of the heads that share a key head, which avoids repeating keys and values:
                // [B, kv_heads, heads / kv_heads · S, d].
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

/// Whether each key is within reach of each query: bool [B, 1, S, K], or `None` if all are.
fn reached(graph: &mut Graph, reach: Reach, slots: &SlotPositions<'_>) -> Option<Value> {
    let positions = |graph: &mut Graph| {
        let (after_queries, around_keys) = (graph.ints(&[1, 3]), graph.ints(&[1, 2]));
        let queries = graph.op("Gather", &[slots.rows, slots.queries]);
        let queries = graph.op("Unsqueeze", &[&queries, &after_queries]); // [B, 1, S, 1]
        [queries, graph.op("Unsqueeze", &[slots.keys, &around_keys])] // [B, 1, 1, K]
    };
    match reach {
        Reach::Everything => None,
        Reach::Window(width) => {
            let [queries, keys] = positions(graph);
            let distance = graph.op("Sub", &[&queries, &keys]);
            let distance = graph.op("Abs", &[&distance]);
            let width = graph.int(width as i64);
            Some(graph.op("LessOrEqual", &[&distance, &width]))
        }
        Reach::Blocks(size) => {
            let positions = positions(graph);
            let size = graph.int(size as i64);
            let [query, key] = positions.map(|positions| graph.op("Div", &[&positions, &size]));
            Some(graph.op("LessOrEqual", &[&key, &query]))
        }
    }
}
