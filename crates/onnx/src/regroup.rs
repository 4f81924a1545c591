//! Taking some sequences' hidden states out of a batch, putting them back, and putting two batches together.
//!
//! These are tiny graphs of their own, so that hidden states stay on their device.

use std::path::PathBuf;

use ort::editor::{Graph as Definition, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{
    DynValue, Outlet, Shape, SymbolicDimensions, Tensor, TensorElementType, ValueType,
};

use crate::Error;
use crate::session::{Graph, Opener, Signature};

const SELECT: Signature = Signature { inputs: &["hidden", "sequences"], outputs: &["some"] };
const JOIN: Signature = Signature { inputs: &["first", "second"], outputs: &["both"] };
const REPLACE: Signature =
    Signature { inputs: &["hidden", "sequences", "some"], outputs: &["all"] };

/// Old enough for every runtime, new enough for both operators.
const OPSET: u32 = 18;

/// The three graphs.
pub(crate) struct Regroup {
    select: Graph,
    replace: Graph,
    join: Graph,
}

impl Regroup {
    pub fn new(opener: &Opener) -> Result<Self, Error> {
        Ok(Self {
            select: build(opener, "Gather", &SELECT, 1)?,
            replace: build(opener, "ScatterND", &REPLACE, 2)?,
            join: build(opener, "Concat", &JOIN, 0)?,
        })
    }

    /// hidden [B, T, D] → those of `sequences` [S, T, D].
    pub fn select(&self, hidden: &DynValue, sequences: &[usize]) -> Result<DynValue, Error> {
        let indices = self.select.named(indices(sequences, &[sequences.len()]))?;
        self.select.run(&[hidden, &indices])
    }

    /// Rows [M, 1, D], and then rows [N, 1, D].
    pub fn join(&self, first: &DynValue, second: &DynValue) -> Result<DynValue, Error> {
        self.join.run(&[first, second])
    }

    /// hidden [B, T, D] with `some` [S, T, D] in the places of `sequences`.
    pub fn replace(
        &self,
        hidden: &DynValue,
        sequences: &[usize],
        some: &DynValue,
    ) -> Result<DynValue, Error> {
        let indices = self.replace.named(indices(sequences, &[sequences.len(), 1]))?;
        self.replace.run(&[hidden, &indices, some])
    }
}

fn indices(sequences: &[usize], shape: &[usize]) -> ort::Result<DynValue> {
    let indices: Vec<i64> = sequences.iter().map(|&sequence| sequence as i64).collect();
    Ok(Tensor::from_array((shape, indices))?.into_dyn())
}

/// A graph of one operator.
fn build(opener: &Opener, operator: &str, of: &Signature, rank: usize) -> Result<Graph, Error> {
    let path = PathBuf::from(operator);
    let options = opener.builder()?;
    let session = one_operator(operator, of, rank, options);
    let session = session.map_err(|source| Error::Graph { path: path.clone(), source })?;
    opener.graph(path, session, of)
}

/// Floats [·, ·, ·] and integers of the given rank in, floats [·, ·, ·] out. A session built from
/// such a definition gets threads of its own, for which there is no use here.
fn one_operator(
    operator: &str,
    of: &Signature,
    rank: usize,
    options: SessionBuilder,
) -> ort::Result<Session> {
    let outlet = |name: &str| match name {
        "sequences" => Outlet::new(name, tensor(TensorElementType::Int64, rank)),
        _ => Outlet::new(name, tensor(TensorElementType::Float32, 3)),
    };
    let mut graph = Definition::new()?;
    graph.set_inputs(of.inputs.iter().map(|name| outlet(name)))?;
    graph.set_outputs([outlet(of.outputs[0])])?;
    let axis = match operator {
        "Concat" => vec![Attribute::new("axis", 0_i64)?],
        _ => Vec::new(),
    };
    graph.add_node(Node::new(operator, ONNX_DOMAIN, operator, of.inputs, of.outputs, axis)?)?;
    let mut model = Model::new([Opset::new(ONNX_DOMAIN, OPSET)?])?;
    model.set_graph(graph)?;
    model.into_session(&options.with_intra_threads(1)?)
}

/// A tensor of unknown size.
fn tensor(ty: TensorElementType, rank: usize) -> ValueType {
    let shape = Shape::new(std::iter::repeat_n(-1, rank));
    ValueType::Tensor { ty, shape, dimension_symbols: SymbolicDimensions::empty(rank) }
}
