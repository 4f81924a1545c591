//! Hidden states of a batch: on the graphs' device from the model to the last sampler pass.

use std::sync::Arc;

use conjoint_core::TokenId;
use ndarray::{Array2, Array3, Axis};
use ort::memory::AllocationDevice;
use ort::value::{DynTensorValueType, DynValue};

use crate::Error;
use crate::row_sampler::Group;
use crate::session::Graph;

/// The state that a denoiser hands to its sampler layer.
pub(crate) struct Hidden {
    /// Hidden states [B, T, D], on the graphs' device. Never written to: top-K rows go on reading them.
    pub value: Arc<DynValue>,
    /// Length of each sequence [B], padding not counted.
    pub lengths: Vec<usize>,
    /// T.
    pub length: usize,
    /// The tokens of each sequence as the model saw them.
    pub tokens: Vec<Vec<TokenId>>,
    /// The sequences that have taken part in passes over rows since.
    pub groups: Vec<Group>,
}

impl Hidden {
    /// All of them [B, T, D] in the host's memory. `graph` names errors; D is its width.
    pub fn to_host(&self, graph: &Graph, width: usize) -> Result<Array3<f32>, Error> {
        let copied = self.value.view().downcast::<DynTensorValueType>().and_then(|value| {
            let value = value.to(AllocationDevice::CPU, 0)?;
            Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
        });
        let values = graph.named(copied)?;
        let (got, shape) = (vec![values.len()], (self.lengths.len(), self.length, width));
        let expected = vec![shape.0, shape.1, shape.2];
        let wrong = |_| Error::Shape { what: "the state", got, expected };
        Array3::from_shape_vec(shape, values).map_err(wrong)
    }

    /// Those of each sequence [T, D] in the host's memory, without padding.
    pub fn of_each(&self, graph: &Graph, width: usize) -> Result<Vec<Array2<f32>>, Error> {
        let all = self.to_host(graph, width)?;
        let padded = all.outer_iter().zip(&self.lengths);
        Ok(padded.map(|(states, &length)| states.split_at(Axis(0), length).0.to_owned()).collect())
    }
}
