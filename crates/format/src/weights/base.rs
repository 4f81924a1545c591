//! The tensors of the frozen model.

use super::decoder::{DecoderLayer, OptionalTensors};
use super::embedding::Embedding;
use super::encoder::EncoderWeights;
use super::head::Head;
use super::linear::{Linear, weight};
use super::sampler_names::SAMPLER;
use crate::blueprint::{Blueprint, Body, Names};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// The frozen model.
#[derive(Debug)]
pub struct BaseWeights {
    pub embed: Embedding,
    pub body: BodyWeights,
    pub head: Head,
}

/// The map from embeddings to hidden states.
#[derive(Debug)]
pub enum BodyWeights {
    /// Layers, and the final norm.
    Decoder(Vec<DecoderLayer>, Tensor),
    Encoder(Box<EncoderWeights>),
}

impl BaseWeights {
    /// Takes the base model's tensors. Rejects tensors that its architecture does not use.
    pub fn take(blueprint: &Blueprint, checkpoint: &mut Checkpoint) -> Result<Self, FormatError> {
        checkpoint.reject_quantised()?;
        let embed = Embedding::take(blueprint, checkpoint)?;
        let body = match &blueprint.body {
            Body::Decoder(names) => take_decoder(blueprint, names, checkpoint)?,
            Body::Encoder(encoder) => {
                BodyWeights::Encoder(EncoderWeights::take(blueprint, encoder, checkpoint)?.into())
            }
        };
        let head = Head::take(blueprint, checkpoint, &embed.table)?;
        let unused = match &blueprint.body {
            Body::Decoder(_) => &[][..],
            Body::Encoder(encoder) => encoder.names.unused,
        };
        checkpoint.reject_rest(|name| {
            let is_unused = unused.iter().any(|prefix| name.starts_with(prefix));
            let of_sampler = name.starts_with(SAMPLER) || name.contains(&format!(".{SAMPLER}"));
            // RoPE's buffers follow from the configuration.
            !(of_sampler || name.ends_with("rotary_emb.inv_freq") || is_unused)
        })?;
        Ok(Self { embed, body, head })
    }

    /// All tensors, in no particular order. A tensor that several layers share is repeated.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let (layers, norm, encoder) = match &self.body {
            BodyWeights::Decoder(layers, norm) => (&layers[..], Some(norm), None),
            BodyWeights::Encoder(encoder) => (&[][..], None, Some(encoder)),
        };
        let own = [Some(&self.embed.table), norm].into_iter().flatten();
        own.chain(self.embed.mapping.iter().flat_map(Linear::tensors))
            .chain(self.head.tensors())
            .chain(layers.iter().flat_map(DecoderLayer::tensors))
            .chain(encoder.into_iter().flat_map(|encoder| encoder.tensors()))
    }

    /// The matrices of its layers. A matrix that several layers share is repeated.
    pub fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        let (layers, encoder) = match &self.body {
            BodyWeights::Decoder(layers, _) => (&layers[..], None),
            BodyWeights::Encoder(encoder) => (&[][..], Some(encoder)),
        };
        let own = layers.iter().flat_map(DecoderLayer::matrices);
        own.chain(encoder.into_iter().flat_map(|encoder| encoder.matrices()))
    }
}

fn take_decoder(
    blueprint: &Blueprint,
    names: &Names,
    checkpoint: &mut Checkpoint,
) -> Result<BodyWeights, FormatError> {
    let prefix = |number| format!("{}{number}.", names.layers);
    let parts = OptionalTensors::of_base(blueprint, checkpoint);
    let layers = (0..blueprint.layers)
        .map(|number| {
            DecoderLayer::take(blueprint, parts, checkpoint, &prefix(number), &names.layer)
        })
        .collect::<Result<_, _>>()?;
    let final_norm = checkpoint.take(&weight(names.final_norm), &[blueprint.hidden_size])?;
    Ok(BodyWeights::Decoder(layers, final_norm))
}
