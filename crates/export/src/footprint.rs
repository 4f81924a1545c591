//! How much memory an exported model takes on a CPU.

use std::path::Path;

use crate::check::read_graph;
use crate::error::ExportError;
use crate::manifest::Manifest;
use crate::operators::Operators;
use crate::proto::{EXTERNAL, GraphProto, TensorProto, element};

/// Bytes of memory that an exported model's weights take on ONNX Runtime's CPU provider once it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The frozen model: backbone and output layer.
    pub model: u64,
    /// The sampler layer; 0 if there is none.
    pub sampler: u64,
}

/// What a model takes beside its weights: the runtime itself, graphs, and what is left of loading.
const BESIDE: f64 = 1.04;

impl Footprint {
    /// Of the model and its sampler layer.
    pub fn total(&self) -> u64 {
        self.model + self.sampler
    }
}

impl Manifest {
    /// Computes what the weights take in memory, from the graphs of the manifest's folder.
    ///
    /// 16-bit matrices are widened to float32 when they are loaded, and so take twice their bytes. Tables of which a graph takes
    /// rows, and quantised matrices, stay as they are.
    ///
    /// # Errors
    ///
    /// [`Graph`](ExportError::Graph) and [`Io`](ExportError::Io) if a graph cannot be read.
    pub fn footprint(&self, folder: impl AsRef<Path>) -> Result<Footprint, ExportError> {
        let of = |names: Vec<&str>| -> Result<u64, ExportError> {
            let mut bytes = 0;
            for name in names {
                bytes += weights(&read_graph(folder.as_ref(), name)?);
            }
            Ok((bytes as f64 * BESIDE) as u64)
        };
        let graphs = &self.graphs;
        let rows = graphs.sampler_rows.iter().flat_map(|rows| [&rows.context, &rows.pass]);
        let sampler = graphs.sampler.iter().chain(rows).map(String::as_str).collect();
        Ok(Footprint { model: of(vec![&graphs.backbone, &graphs.head])?, sampler: of(sampler)? })
    }

    /// About how many bytes a forward of `batch` sequences of `length` positions takes at its peak, beside the weights: the
    /// scores of all heads of one layer, [B, heads, T, T], the inner states of its feed-forward network, and the logits of
    /// all rows.
    pub fn scratch(&self, batch: usize, length: usize) -> u64 {
        let of = |factors: &[usize]| {
            factors.iter().fold(1_u64, |product, &factor| product.saturating_mul(factor as u64))
        };
        // Scores once more where softmax is an operator of its own; a mask in bytes and one in floats.
        let scores = match self.operators {
            Operators::Fused => 4 * self.heads + 5,
            Operators::Portable => 8 * self.heads,
        };
        let states = 3 * self.ffn_size + 6 * self.hidden_size + self.vocab_size;
        of(&[batch, length, length, scores]).saturating_add(of(&[batch, length, 4, states]))
    }
}

/// Bytes of a graph's weights in memory.
fn weights(graph: &GraphProto) -> u64 {
    let external = || graph.initializer.iter().filter(|t| t.data_location == Some(EXTERNAL));
    // Matrices of integers are transposed on loading, and the memory of the largest is kept.
    let turned = external().filter(|t| t.data_type == element::INT8 && takes(graph, t, "QGemm"));
    let turned = turned.map(numbers).max().unwrap_or(0);
    external().map(|tensor| held(graph, tensor)).sum::<u64>() + turned
}

fn numbers(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|&size| size.unsigned_abs()).product()
}

/// Whether a node of this kind takes a weight.
fn takes(graph: &GraphProto, tensor: &TensorProto, op: &str) -> bool {
    let mut nodes = graph.node.iter().filter(|node| node.op_type == op);
    nodes.any(|node| node.input.contains(&tensor.name))
}

/// Bytes of a weight in memory.
fn held(graph: &GraphProto, tensor: &TensorProto) -> u64 {
    let (numbers, takes) = (numbers(tensor), |op| takes(graph, tensor, op));
    match tensor.data_type {
        element::FLOAT16 | element::BFLOAT16 if takes("Cast") => 4 * numbers,
        element::FLOAT16 | element::BFLOAT16 => 2 * numbers,
        // The kernel keeps a copy of each scale, and a sum beside it.
        element::FLOAT if takes("MatMulNBits") => 12 * numbers,
        element::FLOAT => 4 * numbers,
        _ => numbers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExportOptions, Quantisation, export};

    fn footprint(checkpoint: &str, quantisation: Option<Quantisation>) -> Footprint {
        let fixtures = conjoint_models::fixtures();
        let out = tempfile::tempdir().unwrap();
        let options = ExportOptions::new(fixtures.join(checkpoint));
        let sampler = (checkpoint == "dream-tiny").then(|| fixtures.join("adjust-dream-tiny"));
        let out_dir = Some(out.path().to_owned());
        let options = ExportOptions { out: out_dir, sampler, quantisation, ..options };
        export(&options).unwrap().footprint(out.path()).unwrap()
    }

    /// V = 96, D = 32, F = 56, 2 layers with 2 of 4 heads for keys and values, tied, in bfloat16: the table once in 2 bytes, as rows
    /// are taken of it, and once in 4, as the output layer; all else in 4.
    #[test]
    fn sixteen_bits_take_twice_their_bytes_but_for_the_table() {
        let (table, width, ffn, keys) = (96 * 32, 32, 56, 16);
        let layer = 2 * width * width + 2 * width * keys + 3 * width * ffn;
        let vectors = 2 * width + width + 2 * keys;
        let numbers = 2 * (layer + vectors) + width;
        let expected = (2 * table + 4 * table + 4 * numbers) as f64 * BESIDE;
        assert_eq!(footprint("dream-tied-bf16-sharded", None).model, expected as u64);
    }

    #[test]
    fn fewer_bits_take_less_memory() {
        let kinds = [None, Some(Quantisation::Int8), Some(Quantisation::Int4)];
        let tiny = conjoint_models::tiny();
        let [plain, eight, four] = kinds.map(|kind| footprint(tiny.to_str().unwrap(), kind).model);
        assert!(plain > 3 * eight && eight > four, "{plain} {eight} {four}");
        let [plain, eight, _] = kinds.map(|kind| footprint("dream-tiny", kind));
        assert!(plain.sampler > eight.sampler && eight.sampler > 0);
        assert_eq!(plain.total(), plain.model + plain.sampler);
        assert_eq!(footprint("llada-tiny", None).sampler, 0);
    }

    /// 4 heads and 48 positions of a batch of 2, and what is linear in the rows.
    #[test]
    fn scores_grow_with_the_square_of_the_length() {
        let fixtures = conjoint_models::fixtures();
        let out = tempfile::tempdir().unwrap();
        let options = ExportOptions::new(fixtures.join("dream-tied-bf16-sharded"));
        let options = ExportOptions { out: Some(out.path().to_owned()), ..options };
        let manifest = export(&options).unwrap();
        let rows = 2 * 48 * 4 * (3 * 56 + 6 * 32 + 96);
        assert_eq!(manifest.scratch(2, 48), 2 * 48 * 48 * (4 * 4 + 5) + rows);
        assert_eq!(manifest.scratch(usize::MAX, usize::MAX), u64::MAX);
    }
}
