//! The tensors that map a token to a vector.

use super::linear::{Linear, weight};
use crate::blueprint::{Blueprint, Body};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// The map from a token to a vector of the layers' width D.
#[derive(Debug)]
pub struct Embedding {
    /// [V, E].
    pub table: Tensor,
    /// The map from E to D. Without it, E is D.
    pub mapping: Option<Linear>,
}

impl Embedding {
    pub(crate) fn take(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, FormatError> {
        let (name, shape) = Self::table(blueprint);
        let table = checkpoint.take(&weight(name), &shape)?;
        Ok(Self { table, mapping: Self::take_mapping(blueprint, checkpoint)? })
    }

    /// Name and shape of the table, [V, E].
    pub(crate) fn table(blueprint: &Blueprint) -> (&'static str, [usize; 2]) {
        let (name, width) = match &blueprint.body {
            Body::Decoder(names) => (names.embed, blueprint.hidden_size),
            Body::Encoder(encoder) => (encoder.names.embed, encoder.embedding_size),
        };
        (name, [blueprint.vocab_size, width])
    }

    /// Takes the map from E to D, if the model has one.
    pub(crate) fn take_mapping(
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Option<Linear>, FormatError> {
        let Body::Encoder(encoder) = &blueprint.body else { return Ok(None) };
        let shape = [blueprint.hidden_size, encoder.embedding_size];
        let mapping = encoder.names.mapping;
        mapping.map(|name| Linear::take(checkpoint, name, shape, true)).transpose()
    }
}
