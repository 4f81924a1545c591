//! What the builders of all graphs share.

use conjoint_format::blueprint::Blueprint;
use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::ModelProto;
use conjoint_format::weights::Linear;

use crate::graph::{Dim, Graph};
use crate::operator_set::OperatorSet;
use crate::store::Store;
use crate::value::Value;

/// Builds the graphs of one model.
pub(crate) struct Builder<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) operators: OperatorSet,
    /// The files of weights.
    pub(crate) store: &'a dyn Store,
}

impl Builder<'_> {
    pub(crate) fn norm(&self, graph: &mut Graph, x: &Value, gain: &Tensor) -> Value {
        let gain = graph.weight(gain);
        self.operators.rms_norm(graph, x, &gain, self.blueprint.norm_eps)
    }

    /// Reshapes to rows [·, width].
    pub(crate) fn by_row(&self, graph: &mut Graph, x: &Value, width: usize) -> Value {
        let shape = graph.ints(&[-1, width as i64]);
        graph.op("Reshape", &[x, &shape])
    }

    /// D.
    pub(crate) fn width(&self) -> Dim {
        Dim::Fixed(self.blueprint.hidden_size)
    }

    pub(crate) fn finish(&self, graph: Graph, doc: &str) -> ModelProto {
        let (ir_version, opset) = self.operators.versions();
        graph.finish(ir_version, opset, doc)
    }
}

/// x Wᵀ + b, on rows.
pub(crate) fn linear(graph: &mut Graph, x: &Value, linear: &Linear) -> Value {
    graph.product(x, &linear.weight, linear.bias.as_ref())
}
