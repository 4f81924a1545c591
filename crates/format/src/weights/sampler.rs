//! The tensors of a sampler layer.

use super::decoder::{DecoderLayer, OptionalTensors};
use super::linear::{Linear, weight};
use super::sampler_names::{PARTS, only_sampler};
use crate::blueprint::{Blueprint, LayerNames};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// The sampler layer.
#[derive(Debug)]
pub struct SamplerWeights {
    pub norm_embed: Tensor,
    pub norm_hidden: Tensor,
    pub norm_post: Tensor,
    pub down_project: Linear,
    /// One layer in the published samplers.
    pub layers: Vec<DecoderLayer>,
}

impl SamplerWeights {
    /// Takes the sampler layer's tensors. Ignores a base model's tensors beside them.
    pub fn take(blueprint: &Blueprint, checkpoint: &mut Checkpoint) -> Result<Self, FormatError> {
        let width = blueprint.hidden_size;
        let sampler = only_sampler(checkpoint)?;
        let mut norm =
            |name: &str| checkpoint.take(&weight(&format!("{sampler}{name}.0")), &[width]);
        let norm_embed = norm("norm_embed")?;
        let norm_hidden = norm("norm_hidden")?;
        let norm_post = norm("norm_postattn")?;
        let name = format!("{sampler}down_project.0");
        let down_project = Linear::take(checkpoint, &name, [width, 2 * width], true)?;

        // A sampler's layers use the tensor names of one of the families.
        let prefix = |number: usize| format!("{sampler}layers.0.{number}.");
        let has = |checkpoint: &Checkpoint, number: usize, naming: &LayerNames| {
            checkpoint.contains(&weight(&format!("{}{}", prefix(number), naming.q)))
        };
        let naming = blueprint
            .layer_namings()
            .into_iter()
            .find(|naming| has(checkpoint, 0, naming))
            .unwrap_or(blueprint.layer_namings()[0]);
        // At least one, so that the error of a checkpoint without layers names a missing tensor.
        let count = (0..).take_while(|&n| has(checkpoint, n, naming)).count().max(1);
        let parts = OptionalTensors::of(blueprint, checkpoint, &prefix(0), naming);
        let layers = (0..count)
            .map(|n| DecoderLayer::take(blueprint, parts, checkpoint, &prefix(n), naming))
            .collect::<Result<_, _>>()?;
        checkpoint.reject_rest(|name| {
            let is_part = |rest: &str| PARTS.contains(&rest.split('.').next().unwrap_or_default());
            let rest = name.strip_prefix(sampler.as_str());
            rest.is_some_and(|rest| !sampler.is_empty() || is_part(rest))
                && !name.ends_with("rotary_emb.inv_freq")
        })?;
        Ok(Self { norm_embed, norm_hidden, norm_post, down_project, layers })
    }

    /// All tensors, in no particular order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.norm_embed, &self.norm_hidden, &self.norm_post]
            .into_iter()
            .chain(self.down_project.tensors())
            .chain(self.layers.iter().flat_map(DecoderLayer::tensors))
    }

    /// The matrices of its layers.
    pub fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(DecoderLayer::matrices)
    }
}
