//! The files of a quantised export.

use super::Quantisation;
use super::plan::Plan;
use crate::checkpoint::Tensor;
use crate::store::{Matrix, Store, Stored};
use crate::weights::{BaseWeights, SamplerWeights};

/// The weights of an export in files of their own: one of the model's, one of its sampler layer's.
#[derive(Debug)]
pub(crate) struct QuantisedStore {
    pub(crate) files: Vec<Plan>,
}

/// Name of the model's file.
pub(crate) fn base_file(quantisation: Quantisation) -> String {
    format!("model-{quantisation}.safetensors")
}

/// Name of the sampler layer's file.
fn sampler_file(quantisation: Quantisation) -> String {
    format!("sampler-{quantisation}.safetensors")
}

impl QuantisedStore {
    /// The matrices of all layers in this many bits, the two tables in 8, and everything else as it is.
    pub(crate) fn new(
        quantisation: Quantisation,
        base: &BaseWeights,
        sampler: Option<&SamplerWeights>,
    ) -> Self {
        let kept = base.tensors().map(|tensor| (tensor, None));
        let matrices = base.matrices().map(|tensor| (tensor, Some(quantisation)));
        let tables = [&base.embed.table, &base.head.output.weight];
        let tables = tables.map(|table| (table, Some(Quantisation::Int8)));
        let base = Plan::new(&base_file(quantisation), kept.chain(matrices).chain(tables));
        let sampler = sampler.map(|sampler| {
            let kept = sampler.tensors().map(|tensor| (tensor, None));
            let matrices = sampler.matrices().map(|tensor| (tensor, Some(quantisation)));
            Plan::new(&sampler_file(quantisation), kept.chain(matrices))
        });
        Self { files: [base].into_iter().chain(sampler).collect() }
    }
}

impl Store for QuantisedStore {
    /// # Panics
    /// If a graph takes a quantised matrix for anything else, which is a mistake of its builder.
    fn tensor(&self, tensor: &Tensor) -> Stored {
        let found = self.files.iter().find_map(|file| file.tensor(&tensor.name));
        found.expect("every tensor of the model is in one of its files").clone()
    }

    fn matrix(&self, tensor: &Tensor) -> Matrix {
        let found = self.files.iter().find_map(|file| file.matrix(&tensor.name));
        found.cloned().unwrap_or(Matrix::Plain)
    }
}
