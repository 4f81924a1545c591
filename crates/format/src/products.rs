//! The matrix products of an exported model.

use std::collections::HashMap;
use std::path::Path;

use crate::error::FormatError;
use crate::graph_file::read_graph;
use crate::manifest::Manifest;
use crate::proto::{EXTERNAL, GraphProto};

/// Multiplications of a model's products with its weights, for one row. Each has an addition too, so a row takes twice
/// as many floating-point operations. Attention, whose products grow with the length, is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("FLOPs", "MACs"))]
pub struct Products {
    /// From a row's token to its hidden state.
    pub backbone: u64,
    /// From a hidden state to its logits.
    pub head: u64,
}

impl Manifest {
    /// Counts the multiplications of the products with weights in the graphs of the manifest's folder.
    ///
    /// # Errors
    ///
    /// [`Graph`](FormatError::Graph) and [`Io`](FormatError::Io) if a graph cannot be read.
    pub fn products(&self, folder: impl AsRef<Path>) -> Result<Products, FormatError> {
        let of = |name: &str| Ok(multiplications(&read_graph(folder.as_ref(), name)?));
        Ok(Products { backbone: of(&self.graphs.backbone)?, head: of(&self.graphs.head)? })
    }
}

/// The elements of the weight in each product, summed.
fn multiplications(graph: &GraphProto) -> u64 {
    let weights = graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL));
    let size = |dims: &[i64]| dims.iter().map(|&size| size.unsigned_abs()).product::<u64>();
    let mut sizes: HashMap<&str, u64> =
        weights.map(|tensor| (tensor.name.as_str(), size(&tensor.dims))).collect();
    let mut sum = 0;
    for node in &graph.node {
        let input = |place: usize| node.input.get(place).and_then(|name| sizes.get(name.as_str()));
        match node.op_type.as_str() {
            // A weight in 16 bits is cast first.
            "Cast" => {
                if let (Some(&size), Some(output)) = (input(0), node.output.first()) {
                    sizes.insert(output, size);
                }
            }
            "Gemm" | "MatMul" => sum += input(1).copied().unwrap_or(0),
            "QGemm" => sum += input(3).copied().unwrap_or(0),
            // Two codes a byte.
            "MatMulNBits" => sum += 2 * input(1).copied().unwrap_or(0),
            _ => {}
        }
    }
    sum
}
