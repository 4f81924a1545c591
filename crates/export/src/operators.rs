//! The operators that exist both ready-made and as a composition of simpler ones, and those of an encoder.

use serde::{Deserialize, Serialize};

use crate::blueprint::{Activation, Blueprint};
use crate::encoder_weights::Norm;
use crate::graph::{Attribute, Graph, Value};
use crate::proto::element;

/// Which ONNX operators RMS norms, rotary embeddings, attention and GELU are made of.
///
/// Both sets compute the same function, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operators {
    /// `RMSNormalization`, `RotaryEmbedding`, `Attention` and `Gelu` of opset 23: the fast ones where a
    /// provider has them, as ONNX Runtime's CPU provider does.
    #[default]
    Fused,
    /// `MatMul`, `Softmax`, `ReduceMean` and the like of opset 18, which every importer has,
    /// TensorRT's among them.
    Portable,
}

/// What all layers of a graph over whole sequences share, computed once at its start.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Which keys are padding. `Fused`: bool [B, 1, T, T]. `Portable`: f32 [B, 1, 1, T], to be added to the scores.
    pub(crate) mask: Value,
    /// i64 [T]: 0, 1, 2, …
    pub(crate) range: Value,
    /// Where the rows are: all positions of each sequence.
    pub(crate) places: Places,
}

/// At which positions rows are; in which form depends on the operators.
#[derive(Debug)]
pub(crate) struct Places {
    /// `Fused`: [T, d/2]. `Portable`: [T, 1, d/2], or [B, S, 1, d/2] for chosen rows.
    cos: Value,
    sin: Value,
    /// `Fused`: i64 [B, S]. `Portable` has no use for it.
    positions: Value,
    /// i64 [2]: B and S, rows of each sequence.
    pub(crate) shape: Value,
}

/// Added to the score of a padding key. Finite, so that a row without any key is not NaN, and far
/// below any real score, so that its weight is exactly zero beside a real key's.
pub(crate) const MASKED_SCORE: f32 = -1e30;

impl Operators {
    /// The versions of ONNX's file format and of its operator set.
    pub(crate) fn versions(self) -> (i64, i64) {
        match self {
            Self::Fused => (11, 23),
            Self::Portable => (8, 18),
        }
    }

    /// Prepares what all layers share, from `input_ids` i64 [B, T] and `key_mask` bool [B, T].
    ///
    /// cos and sin are computed from the positions, so a graph holds d/2 frequencies and takes any
    /// T, instead of holding a table up to some length.
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
                // The CPU provider does not broadcast a mask along the queries by itself.
                let (once, vector) = (graph.ints(&[1]), graph.ints(&[-1]));
                let length = graph.op("Reshape", &[&length, &vector]);
                let full = graph.node("Concat", &[&once, &once, &length, &once], AXIS_0);
                (graph.op("Expand", &[&keys, &full]), graph.op("Expand", &[&range, &shape]))
            }
            Self::Portable => {
                let column = graph.ints(&[1]);
                angles = graph.op("Unsqueeze", &[&angles, &column]);
                let (kept, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
                (graph.op("Where", &[&keys, &kept, &masked]), range.clone())
            }
        };
        let (cos, sin) = (graph.op("Cos", &[&angles]), graph.op("Sin", &[&angles]));
        Frame { mask, range, places: Places { cos, sin, positions, shape } }
    }

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
    pub(crate) fn every_place(
        self,
        graph: &mut Graph,
        tables: [&Value; 2],
        input_ids: &Value,
    ) -> Places {
        let shape = graph.op("Shape", &[input_ids]);
        let (range, _) = range(graph, &shape);
        let positions = graph.op("Expand", &[&range, &shape]);
        self.places(graph, tables, &positions)
    }

    /// Rows at `positions` i64 [B, S], given the tables [T, d/2].
    pub(crate) fn places(
        self,
        graph: &mut Graph,
        [cos, sin]: [&Value; 2],
        positions: &Value,
    ) -> Places {
        let shape = graph.op("Shape", &[positions]);
        let mut at = |table: &Value| match self {
            Self::Fused => table.clone(),
            Self::Portable => {
                let rows = graph.op("Gather", &[table, positions]);
                let axis = graph.ints(&[2]);
                graph.op("Unsqueeze", &[&rows, &axis])
            }
        };
        Places { cos: at(cos), sin: at(sin), positions: positions.clone(), shape }
    }

    /// x · g / √(mean(x²) + ε), over the last axis.
    pub(crate) fn rms_norm(self, graph: &mut Graph, x: &Value, gain: &Value, eps: f32) -> Value {
        match self {
            Self::Fused => {
                let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
                graph.node("RMSNormalization", &[x, gain], &attributes)
            }
            Self::Portable => {
                let last = graph.ints(&[-1]);
                let eps = graph.float(eps);
                let square = graph.op("Mul", &[x, x]);
                let mean = graph.op("ReduceMean", &[&square, &last]);
                let mean = graph.op("Add", &[&mean, &eps]);
                let rms = graph.op("Sqrt", &[&mean]);
                let normed = graph.op("Div", &[x, &rms]);
                graph.op("Mul", &[&normed, gain])
            }
        }
    }

    /// (x − mean(x)) · g / √(var(x) + ε) + b, over the last axis: one operator since opset 17.
    pub(crate) fn layer_norm(self, graph: &mut Graph, x: &Value, norm: &Norm) -> Value {
        let mut inputs = vec![x.clone(), graph.weight(&norm.gain)];
        inputs.extend(norm.bias.as_ref().map(|bias| graph.weight(bias)));
        let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(norm.eps))];
        graph.node("LayerNormalization", &inputs.iter().collect::<Vec<_>>(), &attributes)
    }

    /// f(x), number by number.
    pub(crate) fn activation(self, graph: &mut Graph, x: &Value, function: Activation) -> Value {
        match (function, self) {
            (Activation::Relu, _) => graph.op("Relu", &[x]),
            (Activation::Silu, _) => {
                let sigmoid = graph.op("Sigmoid", &[x]);
                graph.op("Mul", &[x, &sigmoid])
            }
            (Activation::Gelu, Self::Fused) => graph.op("Gelu", &[x]),
            (Activation::Gelu, Self::Portable) => {
                let root = graph.float(std::f32::consts::FRAC_1_SQRT_2);
                let inner = graph.op("Mul", &[x, &root]);
                let inner = graph.op("Erf", &[&inner]);
                half_of_one_plus(graph, x, &inner)
            }
            (Activation::GeluTanh, _) => {
                let (cubic, root) = (graph.float(0.044715), graph.float(0.797_884_6)); // √(2/π)
                let one = graph.float(1.0);
                let square = graph.op("Mul", &[x, x]);
                let square = graph.op("Mul", &[&square, &cubic]);
                let inner = graph.op("Add", &[&square, &one]);
                let inner = graph.op("Mul", &[&inner, x]);
                let inner = graph.op("Mul", &[&inner, &root]);
                let inner = graph.op("Tanh", &[&inner]);
                half_of_one_plus(graph, x, &inner)
            }
        }
    }

    /// Which keys [B, T] the queries may see, in the form that [`attention`](Self::attention) takes: all but padding, or of
    /// these only those at most `window` away. `range` is i64 \[T\]: 0, 1, 2, …
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
                let (kept, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
                graph.op("Where", &[&keys, &kept, &masked])
            }
        }
    }

    /// All positions of sequences of this `shape` [B, T], with these rotary frequencies.
    pub(crate) fn rotated(
        self,
        graph: &mut Graph,
        rope: &Rope,
        [range, shape]: [&Value; 2],
    ) -> Places {
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
        Places { cos, sin, positions, shape: shape.clone() }
    }

    /// Split-half RoPE on [B, S, heads · d]: a head's halves (a, b) become
    /// (a cos − b sin, b cos + a sin).
    pub(crate) fn rope(self, graph: &mut Graph, at: &Places, x: &Value, heads: usize) -> Value {
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
                // The queries of the heads that share a key head go below each other, so that
                // neither keys nor values are repeated: [B, kv_heads, heads / kv_heads · T, d].
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

/// ½ x (1 + y).
fn half_of_one_plus(graph: &mut Graph, x: &Value, y: &Value) -> Value {
    let (one, half) = (graph.float(1.0), graph.float(0.5));
    let sum = graph.op("Add", &[y, &one]);
    let product = graph.op("Mul", &[x, &sum]);
    graph.op("Mul", &[&product, &half])
}

/// 0, 1, 2, … up to T, of a `shape` [B, T]; and T.
pub(crate) fn range(graph: &mut Graph, shape: &Value) -> (Value, Value) {
    let (zero, one) = (graph.int(0), graph.int(1));
    let length = graph.op("Gather", &[shape, &one]);
    (graph.op("Range", &[&zero, &length, &one]), length)
}

/// The frequencies of rotary positions.
pub(crate) struct Rope {
    /// Of the constant that holds them.
    pub(crate) name: &'static str,
    pub(crate) theta: f32,
    /// d.
    pub(crate) head_dim: usize,
}

impl Rope {
    /// Of decoder layers.
    fn of(blueprint: &Blueprint) -> Self {
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
fn angles(graph: &mut Graph, rope: &Rope, positions: &Value) -> Value {
    let column = graph.ints(&[1]);
    let angles = graph.cast(positions, element::FLOAT);
    let angles = graph.op("Unsqueeze", &[&angles, &column]);
    let frequencies = graph.floats(rope.name, &rope.frequencies());
    graph.op("Mul", &[&angles, &frequencies])
}

/// `Concat` along the first axis.
pub(crate) const AXIS_0: &[(&str, Attribute)] = &[("axis", Attribute::Int(0))];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_geometrically_from_one() {
        let frequencies = Rope { name: "rope", theta: 1e4, head_dim: 8 }.frequencies();
        for (got, want) in frequencies.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((got - want).abs() <= 1e-6 * want, "{got} {want}");
        }
        assert_eq!(frequencies.len(), 4);
    }
}
