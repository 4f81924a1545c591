//! Rotary position embedding, and the positions of rows.

use conjoint_format::blueprint::Blueprint;
use conjoint_format::proto::element;

use super::set::OperatorSet;
use crate::graph::{Attribute, Graph};
use crate::value::Value;

/// The positions of rows. Their form depends on the operators.
#[derive(Debug)]
pub(crate) struct RowPositions {
    /// `Fused`: [T, d/2]. `Portable`: [T, 1, d/2], or [B, S, 1, d/2] for chosen rows.
    pub(super) cos: Value,
    pub(super) sin: Value,
    /// `Fused`: i64 [B, S]. Unused by `Portable`.
    pub(super) positions: Value,
    /// i64 [2]: B, and the number S of rows of each sequence.
    pub(crate) shape: Value,
}

impl OperatorSet {
    /// cos and sin [T, d/2] of the positions of `input_ids` [B, T].
    pub(crate) fn rope_tables(
        graph: &mut Graph,
        blueprint: &Blueprint,
        input_ids: &Value,
    ) -> [Value; 2] {
        let shape = graph.op("Shape", &[input_ids]);
        let (range, _) = range(graph, &shape);
        let angles = angles(graph, &Rope::of(blueprint), &range);
        ["Cos", "Sin"].map(|function| graph.op(function, &[&angles]))
    }

    /// All positions of `input_ids` [B, T], given the tables [T, d/2].
    pub(crate) fn all_positions(
        self,
        graph: &mut Graph,
        tables: [&Value; 2],
        input_ids: &Value,
    ) -> RowPositions {
        let shape = graph.op("Shape", &[input_ids]);
        let (range, _) = range(graph, &shape);
        let positions = graph.op("Expand", &[&range, &shape]);
        self.row_positions(graph, tables, &positions)
    }

    /// Rows at `positions` i64 [B, S], given the tables [T, d/2].
    pub(crate) fn row_positions(
        self,
        graph: &mut Graph,
        [cos, sin]: [&Value; 2],
        positions: &Value,
    ) -> RowPositions {
        let shape = graph.op("Shape", &[positions]);
        let mut at = |table: &Value| match self {
            Self::Fused => table.clone(),
            Self::Portable => {
                let rows = graph.op("Gather", &[table, positions]);
                let axis = graph.ints(&[2]);
                graph.op("Unsqueeze", &[&rows, &axis])
            }
        };
        RowPositions { cos: at(cos), sin: at(sin), positions: positions.clone(), shape }
    }

    /// All positions of sequences of this `shape` [B, T], for rotary embedding with these frequencies.
    pub(crate) fn rotary_positions(
        self,
        graph: &mut Graph,
        rope: &Rope,
        [range, shape]: [&Value; 2],
    ) -> RowPositions {
        let mut angles = angles(graph, rope, range);
        let positions = match self {
            Self::Fused => graph.op("Expand", &[range, shape]),
            Self::Portable => {
                let column = graph.ints(&[1]);
                angles = graph.op("Unsqueeze", &[&angles, &column]);
                range.clone()
            }
        };
        let [cos, sin] = ["Cos", "Sin"].map(|function| graph.op(function, &[&angles]));
        RowPositions { cos, sin, positions, shape: shape.clone() }
    }

    /// Split-half RoPE on [B, S, heads · d]: a head's halves (a, b) become
    /// (a cos − b sin, b cos + a sin).
    pub(crate) fn rope(
        self,
        graph: &mut Graph,
        at: &RowPositions,
        x: &Value,
        heads: usize,
    ) -> Value {
        match self {
            Self::Fused => graph.node(
                "RotaryEmbedding",
                &[x, &at.cos, &at.sin, &at.positions],
                &[("num_heads", Attribute::Int(heads as i64))],
            ),
            Self::Portable => {
                let by_head = graph.ints(&[0, 0, heads as i64, -1]);
                let x = graph.op("Reshape", &[x, &by_head]); // [B, T, heads, d]
                let halves = [("axis", Attribute::Int(-1)), ("num_outputs", Attribute::Int(2))];
                let [a, b] = graph.nodes("Split", &[&x], &halves);
                let mut times = |half: &Value, table: &Value| graph.op("Mul", &[half, table]);
                let (a_cos, b_sin) = (times(&a, &at.cos), times(&b, &at.sin));
                let (b_cos, a_sin) = (times(&b, &at.cos), times(&a, &at.sin));
                let (a, b) =
                    (graph.op("Sub", &[&a_cos, &b_sin]), graph.op("Add", &[&b_cos, &a_sin]));
                let x = graph.node("Concat", &[&a, &b], &[("axis", Attribute::Int(-1))]);
                let flat = graph.ints(&[0, 0, -1]);
                graph.op("Reshape", &[&x, &flat])
            }
        }
    }
}

/// 0, 1, …, T − 1 and T, from a `shape` [B, T].
pub(crate) fn range(graph: &mut Graph, shape: &Value) -> (Value, Value) {
    let (zero, one) = (graph.int(0), graph.int(1));
    let length = graph.op("Gather", &[shape, &one]);
    (graph.op("Range", &[&zero, &length, &one]), length)
}

/// The frequencies of rotary positions.
pub(crate) struct Rope {
    /// Name of the constant that holds them.
    pub(crate) name: &'static str,
    pub(crate) theta: f32,
    /// d, the width of a head.
    pub(crate) head_dim: usize,
}

impl Rope {
    /// The frequencies of decoder layers.
    pub(super) fn of(blueprint: &Blueprint) -> Self {
        let Blueprint { rope_theta: theta, head_dim, .. } = *blueprint;
        Self { name: "rope.frequencies", theta, head_dim }
    }

    /// θ^(−2i/d) for i < d/2, in float32 as the reference implementations compute it.
    fn frequencies(&self) -> Vec<f32> {
        let width = self.head_dim as f32;
        (0..self.head_dim / 2)
            .map(|pair| self.theta.powf(2.0 * pair as f32 / width).recip())
            .collect()
    }
}

/// The angles of RoPE at positions i64 \[T\]: [T, d/2].
pub(super) fn angles(graph: &mut Graph, rope: &Rope, positions: &Value) -> Value {
    let column = graph.ints(&[1]);
    let angles = graph.cast(positions, element::FLOAT);
    let angles = graph.op("Unsqueeze", &[&angles, &column]);
    let frequencies = graph.floats(rope.name, &rope.frequencies());
    graph.op("Mul", &[&angles, &frequencies])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_decrease_geometrically_from_one() {
        let frequencies = Rope { name: "rope", theta: 1e4, head_dim: 8 }.frequencies();
        for (got, expected) in frequencies.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((got - expected).abs() <= 1e-6 * expected, "{got} {expected}");
        }
        assert_eq!(frequencies.len(), 4);
    }
}
