//! Hidden states of a batch. They stay on the graphs' device from the forward pass to the last sampler pass.

use std::sync::Arc;

use conjoint_core::TokenId;
use ndarray::{Array2, Array3, Axis};
use ort::memory::AllocationDevice;
use ort::value::{DynTensorValueType, DynValue};

use crate::error::Error;
use crate::graph::Graph;
use crate::row_group::Group;

/// The state that a denoiser passes to its sampler layer.
pub(crate) struct Hidden {
    /// Hidden states [B, T, D], on the graphs' device. Never modified, because top-K rows read them later.
    pub value: Arc<DynValue>,
    /// Length of each sequence [B], without padding.
    pub lengths: Vec<usize>,
    /// T.
    pub length: usize,
    /// The tokens of each sequence in the forward pass.
    pub tokens: Vec<Vec<TokenId>>,
    /// Groups of sequences that took part in passes over rows since then.
    pub groups: Vec<Group>,
}

impl Hidden {
    /// Copies all hidden states [B, T, D] to the host. `graph` is named in errors; `width` is D.
    pub fn to_host(&self, graph: &Graph, width: usize) -> Result<Array3<f32>, Error> {
        let copied = self.value.view().downcast::<DynTensorValueType>().and_then(|value| {
            let value = value.to(AllocationDevice::CPU, 0)?;
            Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
        });
        let values = graph.named(copied)?;
        let (got, shape) = (vec![values.len()], (self.lengths.len(), self.length, width));
        let expected = vec![shape.0, shape.1, shape.2];
        let mismatch = |_| Error::Shape { what: "the state", got, expected };
        Array3::from_shape_vec(shape, values).map_err(mismatch)
    }

    /// Copies the hidden states of each sequence, [T, D], to the host, without padding.
    pub fn each_to_host(&self, graph: &Graph, width: usize) -> Result<Vec<Array2<f32>>, Error> {
        let all = self.to_host(graph, width)?;
        let padded = all.outer_iter().zip(&self.lengths);
        Ok(padded.map(|(states, &length)| states.split_at(Axis(0), length).0.to_owned()).collect())
    }
}
