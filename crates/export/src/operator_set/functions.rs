//! Norms and activations.

use conjoint_format::Activation;
use conjoint_format::weights::Norm;

use super::set::OperatorSet;
use crate::graph::{Attribute, Graph};
use crate::value::Value;

impl OperatorSet {
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

    /// f(x), element by element.
    ///
    /// # Panics
    /// If `conjoint-format` reads an activation that is not handled here.
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
            (other, _) => unreachable!("conjoint-format reads no activation {other:?}"),
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
