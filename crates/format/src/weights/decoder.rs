//! The tensors of a decoder layer.

use super::linear::{Linear, weight};
use crate::blueprint::{Blueprint, Body, LayerNames};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// One decoder layer.
#[derive(Debug)]
pub struct DecoderLayer {
    pub attention_norm: Tensor,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    /// Norms of queries and of keys.
    pub qk_norm: Option<(Tensor, Tensor)>,
    pub ffn_norm: Tensor,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// The optional parts that the layers of a checkpoint have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalTensors {
    pub(crate) qkv_bias: bool,
    pub(crate) qk_norm: bool,
}

impl OptionalTensors {
    /// Those of the frozen model's layers. For an encoder, those of its sampler layer.
    pub(crate) fn of_base(blueprint: &Blueprint, checkpoint: &Checkpoint) -> Self {
        match &blueprint.body {
            Body::Decoder(names) => {
                Self::of(blueprint, checkpoint, &format!("{}0.", names.layers), &names.layer)
            }
            Body::Encoder(encoder) => Self { qkv_bias: encoder.biases.attention, qk_norm: false },
        }
    }

    /// Those of the layer with this prefix. All layers have the same.
    pub(super) fn of(
        blueprint: &Blueprint,
        checkpoint: &Checkpoint,
        prefix: &str,
        names: &LayerNames,
    ) -> Self {
        let has = |tensor: String| move || checkpoint.contains(&tensor);
        let bias = has(format!("{prefix}{}.bias", names.q));
        let norm = has(weight(&format!("{prefix}{}", names.q_norm)));
        Self { qkv_bias: blueprint.qkv_bias.exists(bias), qk_norm: blueprint.qk_norm.exists(norm) }
    }
}

impl DecoderLayer {
    /// Takes the tensors of the layer with this prefix.
    pub(super) fn take(
        blueprint: &Blueprint,
        OptionalTensors { qkv_bias, qk_norm }: OptionalTensors,
        checkpoint: &mut Checkpoint,
        prefix: &str,
        names: &LayerNames,
    ) -> Result<Self, FormatError> {
        let width = blueprint.hidden_size;
        let (q_width, kv_width) =
            (blueprint.heads * blueprint.head_dim, blueprint.kv_heads * blueprint.head_dim);
        let ffn = blueprint.ffn_size;
        let full = |name: &str| format!("{prefix}{name}");

        let mut norm = |name, size| checkpoint.take(&weight(&full(name)), &[size]);
        let attention_norm = norm(names.attention_norm, width)?;
        let ffn_norm = norm(names.ffn_norm, width)?;
        let qk_norm = if qk_norm {
            let head_dim = blueprint.head_dim;
            Some((norm(names.q_norm, head_dim)?, norm(names.k_norm, head_dim)?))
        } else {
            None
        };
        let mut linear =
            |name, out, input, bias| Linear::take(checkpoint, &full(name), [out, input], bias);
        Ok(Self {
            attention_norm,
            q: linear(names.q, q_width, width, qkv_bias)?,
            k: linear(names.k, kv_width, width, qkv_bias)?,
            v: linear(names.v, kv_width, width, qkv_bias)?,
            o: linear(names.o, width, q_width, false)?,
            qk_norm,
            ffn_norm,
            gate: linear(names.gate, ffn, width, false)?,
            up: linear(names.up, ffn, width, false)?,
            down: linear(names.down, width, ffn, false)?,
        })
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let norms = self.qk_norm.iter().flat_map(|(q, k)| [q, k]);
        [&self.attention_norm, &self.ffn_norm]
            .into_iter()
            .chain(norms)
            .chain(self.linears().into_iter().flat_map(Linear::tensors))
    }

    pub(super) fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        self.linears().into_iter().map(|linear| &linear.weight)
    }

    fn linears(&self) -> [&Linear; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }
}
