//! Selecting and replacing some sequences' hidden states in a batch, and joining two batches.
//!
//! Each operation is a small graph, which keeps hidden states on their device.

use std::path::PathBuf;

use ort::editor::{Graph as Definition, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{
    DynValue, Outlet, Shape, SymbolicDimensions, Tensor, TensorElementType, ValueType,
};

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::session::Opener;

const SELECT: Signature = Signature { inputs: &["hidden", "sequences"], outputs: &["some"] };
const JOIN: Signature = Signature { inputs: &["first", "second"], outputs: &["both"] };
const REPLACE: Signature =
    Signature { inputs: &["hidden", "sequences", "some"], outputs: &["all"] };

/// Every supported runtime has this opset, and it has all three operators.
const OPSET: u32 = 18;

/// The operations on sequences.
pub(crate) struct SequenceOps {
    select: Graph,
    replace: Graph,
    join: Graph,
}

impl SequenceOps {
    /// Builds the graphs.
    pub fn new(opener: &Opener) -> Result<Self, Error> {
        Ok(Self {
            select: build(opener, "Gather", &SELECT, 1)?,
            replace: build(opener, "ScatterND", &REPLACE, 2)?,
            join: build(opener, "Concat", &JOIN, 0)?,
        })
    }

    /// Selects the hidden states of `sequences`, [S, T, D], from [B, T, D].
    pub fn select(&self, hidden: &DynValue, sequences: &[usize]) -> Result<DynValue, Error> {
        let indices = self.select.named(indices(sequences, &[sequences.len()]))?;
        self.select.run(&[hidden, &indices])
    }

    /// Joins rows [M, 1, D] and [N, 1, D] to [M + N, 1, D].
    pub fn join(&self, first: &DynValue, second: &DynValue) -> Result<DynValue, Error> {
        self.join.run(&[first, second])
    }

    /// Replaces the hidden states of `sequences` in [B, T, D] by `some`, [S, T, D].
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
    let session = session.map_err(|error| Error::graph(&path, error))?;
    opener.graph(path, session, of)
}

/// A session of one operator, with floats [·, ·, ·] and integers of the given rank as inputs, and floats [·, ·,
/// ·] as output.
///
/// Such a session gets its own thread pool, which is limited to one thread.
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
