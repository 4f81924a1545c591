//! Rotary position embedding.

use conjoint_format::blueprint::Blueprint;
use conjoint_format::proto::element;

use super::set::OperatorSet;
use crate::graph::{Attribute, Graph};
use crate::value::Value;

/// cos and sin of the rows' angles, [N, 1, d/2].
///
/// They are computed from the positions. So a graph holds d/2 frequencies and accepts every position, instead of
/// holding a table up to some length.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    cos: Value,
    sin: Value,
}

impl Rotation {
    /// The rotation of other rows, given a function of one table.
    pub(crate) fn map(&self, mut of: impl FnMut(&Value) -> Value) -> Self {
        Self { cos: of(&self.cos), sin: of(&self.sin) }
    }
}

impl OperatorSet {
    /// The rotation of rows at `positions` i64 \[N\].
    pub(crate) fn rotation(graph: &mut Graph, rope: &Rope, positions: &Value) -> Rotation {
        let outer = graph.ints(&[1, 2]);
        let angles = graph.cast(positions, element::FLOAT);
        let angles = graph.op("Unsqueeze", &[&angles, &outer]);
        let frequencies = graph.floats(rope.name, &rope.frequencies());
        let angles = graph.op("Mul", &[&angles, &frequencies]);
        let [cos, sin] = ["Cos", "Sin"].map(|function| graph.op(function, &[&angles]));
        Rotation { cos, sin }
    }

    /// Split-half RoPE on rows [N, heads · d]: a head's halves (a, b) become (a cos − b sin, b cos + a sin).
    pub(crate) fn rope(
        self,
        graph: &mut Graph,
        Rotation { cos, sin }: &Rotation,
        x: &Value,
        [heads, head_dim]: [usize; 2],
    ) -> Value {
        let x = match self {
            Self::Fused => {
                let outer = graph.ints(&[1]);
                let x = graph.op("Unsqueeze", &[x, &outer]);
                let heads = [("num_heads", Attribute::Int(heads as i64))];
                graph.node("RotaryEmbedding", &[&x, cos, sin], &heads)
            }
            Self::Portable => {
                let by_head = graph.ints(&[-1, heads as i64, head_dim as i64]);
                let x = graph.op("Reshape", &[x, &by_head]);
                let halves = [("axis", Attribute::Int(-1)), ("num_outputs", Attribute::Int(2))];
                let [a, b] = graph.nodes("Split", &[&x], &halves);
                let mut times = |half: &Value, table: &Value| graph.op("Mul", &[half, table]);
                let (a_cos, b_sin) = (times(&a, cos), times(&b, sin));
                let (b_cos, a_sin) = (times(&b, cos), times(&a, sin));
                let (a, b) =
                    (graph.op("Sub", &[&a_cos, &b_sin]), graph.op("Add", &[&b_cos, &a_sin]));
                graph.node("Concat", &[&a, &b], &[("axis", Attribute::Int(-1))])
            }
        };
        let by_row = graph.ints(&[-1, (heads * head_dim) as i64]);
        graph.op("Reshape", &[&x, &by_row])
    }
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
    pub(crate) fn of(blueprint: &Blueprint) -> Self {
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
