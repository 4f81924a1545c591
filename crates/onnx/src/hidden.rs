//! Hidden states of a batch. They stay on the graphs' device from the forward pass to the last sampler pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use conjoint_core::TokenId;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use ort::memory::AllocationDevice;
use ort::value::{DynTensorValueType, DynValue, Tensor};

use crate::contexts::Contexts;
use crate::error::Error;
use crate::layer_passes::LayerPasses;

/// The state that a denoiser passes to its sampler layers.
pub(crate) struct Hidden {
    /// Hidden states [P, D], on the graphs' device. Never modified, because top-K rows read them later.
    pub value: Arc<DynValue>,
    /// P.
    pub count: usize,
    /// For each sequence, the index of each position's hidden state. `None` if it was never computed.
    pub states: Vec<Vec<Option<usize>>>,
    /// The tokens of each sequence in the forward pass.
    pub tokens: Vec<Vec<TokenId>>,
    /// The passes of each sampler layer since then, by the layer's id.
    pub passes: BTreeMap<u64, LayerPasses>,
    /// The hidden states after the last pass over whole sequences.
    pub latest: Option<Arc<DynValue>>,
    /// What sampler layers keep for the next step, in a session with a cache.
    pub contexts: Option<Arc<Mutex<Contexts>>>,
}

/// Hidden states [·, D] of several calls, one call after the other. Those of several calls are on the host.
///
/// # Errors
/// [`Error::EmptyBatch`] without a call.
pub(crate) fn joined(
    mut calls: Vec<DynValue>,
    width: usize,
    named: impl FnOnce(ort::Error) -> Error,
) -> Result<DynValue, Error> {
    if calls.len() < 2 {
        return calls.pop().ok_or(Error::EmptyBatch);
    }
    let joined = (|| {
        let mut all = Vec::new();
        for call in &calls {
            let call = call.view().downcast::<DynTensorValueType>()?;
            all.extend_from_slice(call.try_extract_tensor::<f32>()?.1);
        }
        Ok(Tensor::from_array(([all.len() / width, width], all))?.into_dyn())
    })();
    joined.map_err(named)
}

impl Hidden {
    /// The state of a forward pass of whole sequences, one after the other in the order `computed`.
    pub fn of_whole(
        value: DynValue,
        tokens: Vec<Vec<TokenId>>,
        computed: impl Iterator<Item = usize>,
    ) -> Self {
        let mut count = 0;
        let mut states = vec![Vec::new(); tokens.len()];
        for sequence in computed {
            let length = tokens[sequence].len();
            states[sequence] = (count..count + length).map(Some).collect();
            count += length;
        }
        Self {
            value: Arc::new(value),
            count,
            states,
            tokens,
            passes: BTreeMap::new(),
            latest: None,
            contexts: None,
        }
    }

    /// The positions of a sequence whose hidden states are known, with their indices.
    pub fn known(&self, sequence: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let states = self.states[sequence].iter().enumerate();
        states.filter_map(|(position, &index)| Some((position, index?)))
    }

    /// Copies the hidden states of each sequence, [T, D], to the host. Zeros where they were never computed.
    pub fn each_to_host(
        &self,
        width: usize,
        named: impl Fn(ort::Error) -> Error,
    ) -> Result<Vec<Array2<f32>>, Error> {
        let value = self.latest.as_ref().unwrap_or(&self.value);
        let copied = value.view().downcast::<DynTensorValueType>().and_then(|value| {
            let value = value.to(AllocationDevice::CPU, 0)?;
            Ok(value.try_extract_tensor::<f32>()?.1.to_vec())
        });
        let values = copied.map_err(named)?;
        let (got, expected) = (vec![values.len()], vec![self.count, width]);
        let all = ArrayView2::from_shape((self.count, width), &values)
            .map_err(|_| Error::Shape { what: "the state", got, expected })?;
        let of_sequence = |sequence: usize| {
            let mut own = Array2::zeros((self.states[sequence].len(), width));
            for (position, index) in self.known(sequence) {
                own.row_mut(position).assign(&all.row(index));
            }
            own
        };
        Ok((0..self.states.len()).map(of_sequence).collect())
    }

    /// As [`each_to_host`](Self::each_to_host), padded with zeros: [B, T, D].
    pub fn to_host(
        &self,
        width: usize,
        named: impl Fn(ort::Error) -> Error,
    ) -> Result<Array3<f32>, Error> {
        let each = self.each_to_host(width, named)?;
        let length = each.iter().map(|own| own.len_of(Axis(0))).max().unwrap_or(0);
        let mut all = Array3::zeros((each.len(), length, width));
        for (mut padded, own) in all.outer_iter_mut().zip(each) {
            padded
                .outer_iter_mut()
                .zip(own.outer_iter())
                .for_each(|(mut to, from)| to.assign(&from));
        }
        Ok(all)
    }
}
