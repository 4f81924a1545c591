//! The memory that an exported model needs on a CPU.

use std::path::Path;

use crate::error::FormatError;
use crate::graph_file::read_graph;
use crate::manifest::Manifest;
use crate::operators::Operators;
use crate::proto::{EXTERNAL, GraphProto, TensorProto, element};

/// Memory of an exported model's weights on ONNX Runtime's CPU provider once it is loaded, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("memory", "RAM"))]
pub struct Footprint {
    /// Bytes of the frozen model: backbone and output layer.
    pub model: u64,
    /// Bytes of the sampler layer; 0 without one.
    pub sampler: u64,
}

/// Factor for memory beside the weights: the runtime, the graphs, and buffers left from loading.
const OVERHEAD: f64 = 1.04;

impl Footprint {
    /// Bytes of the model and its sampler layer.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.model + self.sampler
    }
}

impl Manifest {
    /// Computes the memory of the weights from the graphs of the manifest's folder.
    ///
    /// ONNX Runtime widens 16-bit matrices to float32 when it loads them, so they need twice their bytes.
    /// Embedding tables and quantised matrices keep their type.
    ///
    /// # Errors
    ///
    /// [`Graph`](FormatError::Graph) and [`Io`](FormatError::Io) if a graph cannot be read.
    pub fn footprint(&self, folder: impl AsRef<Path>) -> Result<Footprint, FormatError> {
        let of = |names: Vec<&str>| -> Result<u64, FormatError> {
            let mut bytes = 0;
            for name in names {
                bytes += weights(&read_graph(folder.as_ref(), name)?);
            }
            Ok((bytes as f64 * OVERHEAD) as u64)
        };
        let graphs = &self.graphs;
        let rows = graphs.sampler_rows.iter().flat_map(|rows| [&rows.context, &rows.pass]);
        let sampler = graphs.sampler.iter().chain(rows).map(String::as_str).collect();
        Ok(Footprint { model: of(vec![&graphs.backbone, &graphs.head])?, sampler: of(sampler)? })
    }

    /// Estimates the peak memory of a forward pass of `batch` sequences of `length` positions, in bytes, beside
    /// the weights.
    ///
    /// It is the sum of the attention scores of one layer, [B, heads, T, T], the inner states of its
    /// feed-forward network, and the logits of all rows.
    #[must_use]
    pub fn scratch(&self, batch: usize, length: usize) -> u64 {
        self.scratch_of(batch.saturating_mul(length), [batch, length, length])
    }

    /// Estimates the peak memory of a pass over rows, in bytes. Attention runs in lanes of `slots` queries and
    /// `keys` keys.
    #[must_use]
    #[doc(hidden)]
    pub fn scratch_of(&self, rows: usize, [lanes, slots, keys]: [usize; 3]) -> u64 {
        let of = |factors: &[usize]| {
            factors.iter().fold(1_u64, |product, &factor| product.saturating_mul(factor as u64))
        };
        // Portable graphs hold the scores twice, before and after softmax. Fused ones hold a mask in bytes and
        // one in floats.
        let scores = match self.operators {
            Operators::Fused => 4 * self.heads + 5,
            Operators::Portable => 8 * self.heads,
        };
        let states = 3 * self.ffn_size + 6 * self.hidden_size + self.vocab_size;
        of(&[lanes, slots, keys, scores]).saturating_add(of(&[rows, 4, states]))
    }
}

/// Bytes of a graph's weights once loaded.
fn weights(graph: &GraphProto) -> u64 {
    let external = || graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL));
    // Integer matrices are transposed on loading, and the buffer of the largest one is not freed.
    let transposed =
        external().filter(|t| t.data_type == element::INT8 && takes(graph, t, "QGemm"));
    let transposed = transposed.map(numbers).max().unwrap_or(0);
    external().map(|tensor| loaded_bytes(graph, tensor)).sum::<u64>() + transposed
}

/// The number of elements of a tensor.
fn numbers(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|&size| size.unsigned_abs()).product()
}

/// Whether a node of this type has the weight as an input.
fn takes(graph: &GraphProto, tensor: &TensorProto, op: &str) -> bool {
    let mut nodes = graph.node.iter().filter(|node| node.op_type == op);
    nodes.any(|node| node.input.contains(&tensor.name))
}

/// Bytes of a weight once loaded.
fn loaded_bytes(graph: &GraphProto, tensor: &TensorProto) -> u64 {
    let (numbers, takes) = (numbers(tensor), |op| takes(graph, tensor, op));
    match tensor.data_type {
        element::FLOAT16 | element::BFLOAT16 if takes("Cast") => 4 * numbers,
        element::FLOAT16 | element::BFLOAT16 => 2 * numbers,
        // The kernel stores each scale twice, and a sum.
        element::FLOAT if takes("MatMulNBits") => 12 * numbers,
        element::FLOAT => 4 * numbers,
        _ => numbers,
    }
}
