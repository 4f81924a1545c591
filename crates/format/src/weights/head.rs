//! The tensors that map a hidden state to logits.

use super::encoder::Transform;
use super::linear::{Linear, weight};
use crate::blueprint::{Blueprint, Body};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;
use crate::family::Family;

/// The map from a hidden state to logits.
#[derive(Debug)]
pub struct Head {
    pub transform: Option<Transform>,
    /// [V, E]; the embedding table where the two are tied.
    pub output: Linear,
}

impl Head {
    /// Takes the head of a model with this embedding table.
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
        table: &Tensor,
    ) -> Result<Self, FormatError> {
        let weight = take_matrix(blueprint, checkpoint, Self::matrix(blueprint), table)?;
        let (transform, bias) = Self::take_others(blueprint, checkpoint)?;
        Ok(Self { transform, output: Linear { weight, bias } })
    }

    /// Name of the matrix, [V, E].
    pub(crate) fn matrix(blueprint: &Blueprint) -> &'static str {
        match &blueprint.body {
            Body::Decoder(names) => names.head,
            Body::Encoder(encoder) => encoder.names.output,
        }
    }

    /// Takes everything except the matrix: the network before it, and its bias.
    pub(crate) fn take_others(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<(Option<Transform>, Option<Tensor>), FormatError> {
        let Body::Encoder(encoder) = &blueprint.body else { return Ok((None, None)) };
        let transform = Transform::take(blueprint, encoder, checkpoint)?;
        let bias = encoder.biases.output.then(|| encoder.take_output_bias(blueprint, checkpoint));
        Ok((Some(transform), bias.transpose()?))
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.output.tensors().chain(self.transform.iter().flat_map(Transform::tensors))
    }
}

/// The head's matrix: the embedding table where the two are tied.
///
/// A tied checkpoint may hold another matrix as well. Transformers 5 then uses that one. LLaDA's own code
/// ignores it, so for LLaDA it is an error.
fn take_matrix(
    blueprint: &Blueprint,
    checkpoint: &mut Checkpoint,
    name: &str,
    table: &Tensor,
) -> Result<Tensor, FormatError> {
    let name = weight(name);
    if blueprint.tied && !checkpoint.contains(&name) {
        return Ok(table.clone());
    }
    let matrix = checkpoint.take(&name, &table.shape)?;
    if blueprint.tied && matrix.equals(table)? {
        return Ok(table.clone());
    }
    match blueprint.family {
        Family::Llada if blueprint.tied => {
            Err(FormatError::TwoHeads { path: matrix.file, key: "weight_tying", tensor: name })
        }
        _ => Ok(matrix),
    }
}
