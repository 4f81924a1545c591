//! The files of a quantised export.

use conjoint_format::Quantisation;
use conjoint_format::checkpoint::Tensor;
use conjoint_format::quantised_weights::{base_file, sampler_file};
use conjoint_format::weights::{BaseWeights, SamplerWeights};

use super::plan::Plan;
use crate::store::{Matrix, Store, Stored};

/// The files of a quantised export: one for the model, and one for its sampler layer.
#[derive(Debug)]
pub(crate) struct QuantisedStore {
    pub(crate) files: Vec<Plan>,
}

impl QuantisedStore {
    /// Plans the files: the matrices of all layers in this many bits, the two tables in 8, and copies of all
    /// other tensors.
    pub(crate) fn new(
        quantisation: Quantisation,
        base: &BaseWeights,
        sampler: Option<&SamplerWeights>,
    ) -> Self {
        let copied = base.tensors().map(|tensor| (tensor, None));
        let matrices = base.matrices().map(|tensor| (tensor, Some(quantisation)));
        let tables = [&base.embed.table, &base.head.output.weight];
        let tables = tables.map(|table| (table, Some(Quantisation::Int8)));
        let base = Plan::new(&base_file(quantisation), copied.chain(matrices).chain(tables));
        let sampler = sampler.map(|sampler| {
            let copied = sampler.tensors().map(|tensor| (tensor, None));
            let matrices = sampler.matrices().map(|tensor| (tensor, Some(quantisation)));
            Plan::new(&sampler_file(quantisation), copied.chain(matrices))
        });
        Self { files: [base].into_iter().chain(sampler).collect() }
    }
}

impl Store for QuantisedStore {
    /// # Panics
    /// If a graph uses a quantised matrix as another tensor, which is a bug in its builder.
    fn tensor(&self, tensor: &Tensor) -> Stored {
        let found = self.files.iter().find_map(|file| file.tensor(&tensor.name));
        found.expect("every tensor of the model is in one of its files").clone()
    }

    fn matrix(&self, tensor: &Tensor) -> Matrix {
        let found = self.files.iter().find_map(|file| file.matrix(&tensor.name));
        found.cloned().unwrap_or(Matrix::Plain)
    }
}
