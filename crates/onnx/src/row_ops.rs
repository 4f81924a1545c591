//! Operations on rows of tensors [P, W]: select, overwrite, extend.
//!
//! Each is a small graph, which keeps the rows on their device.

use std::path::PathBuf;
use std::sync::Arc;

use ort::editor::{Graph as Definition, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::value::{
    DynValue, Outlet, Shape, SymbolicDimensions, Tensor, TensorElementType, ValueType,
};

use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::packing::{matrix, vector};
use crate::session::Opener;

/// Every supported runtime has this opset, and it has all operators used here.
const OPSET: u32 = 18;

/// Selects and adds rows.
pub(crate) struct RowOps {
    select: Graph,
    extend: Graph,
}

/// Overwrites rows of several tensors at once.
pub(crate) struct RowUpdate {
    graph: Graph,
    /// Whether a tensor that nothing else holds is overwritten in its own memory.
    in_place: bool,
}

impl RowOps {
    pub fn new(opener: &Opener) -> Result<Self, Error> {
        let select = [node("Gather", &["all", "indices"], "some", Vec::new())];
        let axis = Attribute::new("axis", 0_i64);
        let path = PathBuf::from("Concat");
        let axis = axis.map_err(|error| Error::graph(&path, error))?;
        let extend = [
            node("Expand", &["zero", "shape"], "zeros", Vec::new()),
            node("Concat", &["all", "zeros"], "more", vec![axis]),
        ];
        let of_rows = Signature::new(&["all", "indices"], &["some"]);
        let of_size = Signature::new(&["all", "zero", "shape"], &["more"]);
        Ok(Self {
            select: build(opener, "Gather", of_rows, select)?,
            extend: build(opener, "Concat", of_size, extend)?,
        })
    }

    /// Selects rows [N, W] of [P, W].
    pub fn select(&self, all: &DynValue, rows: Vec<i64>) -> Result<DynValue, Error> {
        let rows = self.select.named(vector(rows))?;
        self.select.run(&[all, &rows])
    }

    /// Adds `count` rows of zeros to [P, W].
    pub fn extend(&self, all: &DynValue, count: usize, width: usize) -> Result<DynValue, Error> {
        let zero = self.extend.named(zeros([1, 1]))?;
        let shape = self.extend.named(vector(vec![count as i64, width as i64]))?;
        self.extend.run(&[all, &zero, &shape])
    }

    /// A tensor of zeros [rows, width] on the device; at least one row.
    pub fn zeros(&self, rows: usize, width: usize) -> Result<DynValue, Error> {
        let one = self.extend.named(zeros([1, width]))?;
        self.extend(&one, rows.saturating_sub(1), width)
    }
}

impl RowUpdate {
    /// An update of `count` tensors.
    pub fn new(opener: &Opener, count: usize) -> Result<Self, Error> {
        let names = |name: &str| (0..count).map(|n| format!("{name}.{n}")).collect::<Vec<_>>();
        let (all, rows, next) = (names("all"), names("rows"), names("next"));
        let scatter = all.iter().zip(&rows).zip(&next).map(|((all, rows), next)| {
            node("ScatterND", &[all, "indices", rows], next, Vec::new())
        });
        let mut inputs = all.clone();
        inputs.push("indices".into());
        inputs.extend(rows.iter().cloned());
        let signature = Signature { inputs, outputs: next.clone() };
        let graph = build(opener, "ScatterND", signature, scatter)?;
        Ok(Self { graph, in_place: opener.writes_in_place() })
    }

    /// Overwrites rows of each tensor [P, W]: the rows at `indices` \[N\] by those of its number in `rows`, each
    /// [N, W].
    pub fn run(
        &self,
        all: &mut [Arc<DynValue>],
        indices: &[i64],
        rows: &[&DynValue],
    ) -> Result<(), Error> {
        let indices = self.graph.named(matrix([indices.len(), 1], indices.to_vec()))?;
        let mut inputs = vec![&indices];
        inputs.extend(rows);
        self.graph.update(all, &inputs, self.in_place)
    }
}

/// A tensor of zeros on the host.
pub(crate) fn zeros(shape: [usize; 2]) -> ort::Result<DynValue> {
    Ok(Tensor::from_array((shape, vec![0_f32; shape[0] * shape[1]]))?.into_dyn())
}

fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: Vec<Attribute>,
) -> ort::Result<Node> {
    Node::new(operator, ONNX_DOMAIN, output, inputs, [output], attributes)
}

/// A graph of a few operators. Its inputs are floats [·, ·], and integers named by their use.
///
/// Such a session gets its own thread pool, which is limited to one thread.
fn build(
    opener: &Opener,
    name: &str,
    signature: Signature,
    nodes: impl IntoIterator<Item = ort::Result<Node>>,
) -> Result<Graph, Error> {
    let path = PathBuf::from(name);
    let options = opener.builder()?;
    let is_update = name == "ScatterND";
    let session = (|| {
        let outlet = |name: &String| {
            let (ty, rank) = match name.as_str() {
                "indices" => (TensorElementType::Int64, if is_update { 2 } else { 1 }),
                "shape" => (TensorElementType::Int64, 1),
                _ => (TensorElementType::Float32, 2),
            };
            Outlet::new(name, tensor(ty, rank))
        };
        let mut graph = Definition::new()?;
        graph.set_inputs(signature.inputs.iter().map(outlet))?;
        graph.set_outputs(signature.outputs.iter().map(outlet))?;
        for node in nodes {
            graph.add_node(node?)?;
        }
        let mut model = Model::new([Opset::new(ONNX_DOMAIN, OPSET)?])?;
        model.set_graph(graph)?;
        model.into_session(&options.with_intra_threads(1)?)
    })();
    let session = session.map_err(|error: ort::Error| Error::graph(&path, error))?;
    opener.graph(path, session, signature)
}

/// A tensor of unknown size.
fn tensor(ty: TensorElementType, rank: usize) -> ValueType {
    let shape = Shape::new(std::iter::repeat_n(-1, rank));
    ValueType::Tensor { ty, shape, dimension_symbols: SymbolicDimensions::empty(rank) }
}

#[cfg(test)]
mod tests {
    use ort::value::DynTensorValueType;

    use super::*;
    use crate::{ExecutionProvider, OnnxOptions, runtime};

    fn floats(value: &DynValue) -> Vec<f32> {
        let value = value.view().downcast::<DynTensorValueType>().unwrap();
        value.try_extract_tensor::<f32>().unwrap().1.to_vec()
    }

    fn address(value: &DynValue) -> *const f32 {
        let value = value.view().downcast::<DynTensorValueType>().unwrap();
        value.try_extract_tensor::<f32>().unwrap().1.as_ptr()
    }

    fn opener() -> Opener {
        runtime::ensure().unwrap();
        Opener::new(OnnxOptions::new(ExecutionProvider::Cpu)).unwrap()
    }

    fn rows<const N: usize>(values: [f32; N]) -> DynValue {
        Tensor::from_array(([N / 2, 2], values.to_vec())).unwrap().into_dyn()
    }

    #[test]
    fn rows_are_selected_and_added() {
        let ops = RowOps::new(&opener()).unwrap();
        let all = rows([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(
            floats(&ops.select(&all, vec![1, 0, 1]).unwrap()),
            [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]
        );
        let more = ops.extend(&all, 2, 2).unwrap();
        assert_eq!(floats(&more), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(floats(&ops.zeros(3, 2).unwrap()), [0.0; 6]);
    }

    /// What nothing else holds is overwritten where it is. Others keep what they hold.
    #[test]
    fn rows_are_overwritten_in_place_unless_they_are_shared() {
        let opener = opener();
        let (ops, update) = (RowOps::new(&opener).unwrap(), RowUpdate::new(&opener, 2).unwrap());
        let zeros = || Arc::new(ops.zeros(3, 2).unwrap());
        let mut all = [zeros(), zeros()];
        let held = Arc::clone(&all[1]);
        let before = all.each_ref().map(|value| address(value));
        let (first, second) = (rows([1.0, 2.0, 3.0, 4.0]), rows([5.0, 6.0, 7.0, 8.0]));
        update.run(&mut all, &[2, 0], &[&first, &second]).unwrap();
        assert_eq!(floats(&all[0]), [3.0, 4.0, 0.0, 0.0, 1.0, 2.0]);
        assert_eq!(floats(&all[1]), [7.0, 8.0, 0.0, 0.0, 5.0, 6.0]);
        assert_eq!(floats(&held), [0.0; 6]);
        let after = all.each_ref().map(|value| address(value));
        assert_eq!(after[0], before[0]);
        assert_ne!(after[1], before[1]);
    }
}
