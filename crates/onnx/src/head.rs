//! From hidden states to logits: the output layer, which a model shares with its sampler layers.

use std::path::Path;

use conjoint_export::Manifest;
use ndarray::Array2;
use ort::value::{DynValue, Tensor};

use crate::Error;
use crate::session::{Graph, Opener, Signature};

const HEAD: Signature = Signature { inputs: &["hidden", "rows"], output: "logits" };

/// `head.onnx`: hidden [B, T, D], rows [N] → logits [N, V].
pub(crate) struct Head {
    graph: Graph,
    vocabulary: usize,
}

impl Head {
    pub fn open(opener: &Opener, folder: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let graph = opener.open(folder.join(&manifest.graphs.head), &HEAD)?;
        Ok(Self { graph, vocabulary: manifest.vocab_size })
    }

    /// Logits of rows [N] of the flattened hidden states [B · T, D]. Only they are computed, and
    /// they are written once, where they stay.
    pub fn logits(&self, hidden: &DynValue, rows: Vec<i64>) -> Result<Array2<f32>, Error> {
        let mut logits = Array2::zeros((rows.len(), self.vocabulary));
        if !rows.is_empty() {
            let rows = self.graph.named(Tensor::from_array(([rows.len()], rows)))?;
            self.graph.run_into(&[hidden, &rows.into_dyn()], &mut logits)?;
        }
        Ok(logits)
    }

    /// Attaches the graph's name to an error.
    pub fn named<T>(&self, result: ort::Result<T>) -> Result<T, Error> {
        self.graph.named(result)
    }
}
