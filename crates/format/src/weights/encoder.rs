//! The tensors of an encoder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::linear::{Linear, weight};
use crate::blueprint::{Activation, AttentionSpan, Blueprint, Encoder, NormOrder, Qkv, Stack};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::FormatError;

/// A LayerNorm: (x − mean(x)) · g / √(var(x) + ε) + b, over the last axis.
#[derive(Debug, Clone)]
pub struct Norm {
    pub gain: Tensor,
    pub bias: Option<Tensor>,
    pub eps: f32,
}

/// The layers of an encoder, and the tensors applied to embeddings before the first layer.
#[derive(Debug)]
pub struct EncoderWeights {
    pub order: NormOrder,
    /// [P, E], the table of learned positions.
    pub positions: Option<Tensor>,
    /// [types, E].
    pub token_types: Option<Tensor>,
    pub embed_norm: Norm,
    /// In the order in which they are applied. A shared layer is repeated.
    pub layers: Vec<EncoderLayer>,
    pub final_norm: Option<Norm>,
}

/// One layer of an encoder.
#[derive(Debug, Clone)]
pub struct EncoderLayer {
    /// `None` in the first layer of an encoder that normalises before attention.
    pub attention_norm: Option<Norm>,
    pub qkv: Qkv<Linear>,
    pub span: AttentionSpan,
    pub o: Linear,
    pub ffn_norm: Norm,
    pub ffn: Ffn,
}

/// A feed-forward network: W f(V x + b) + c; or, gated, W (f(y) · z) + c with V x + b = [y; z].
#[derive(Debug, Clone)]
pub struct Ffn {
    pub inner: Linear,
    pub activation: Activation,
    pub gated: bool,
    pub outer: Linear,
}

/// The network of a head before the output layer: norm(f(W x + b)).
#[derive(Debug)]
pub struct Transform {
    pub dense: Linear,
    pub activation: Activation,
    pub norm: Norm,
}

/// Layers already taken, by the prefix of their tensors.
type Taken = BTreeMap<String, EncoderLayer>;

impl EncoderWeights {
    /// Takes the tensors between the embedding table and the head.
    pub fn take(
        blueprint: &Blueprint,
        encoder: &Encoder,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, FormatError> {
        let (names, width) = (encoder.names, encoder.embedding_size);
        let positions = names
            .positions
            .map(|name| checkpoint.take(&weight(name), &[blueprint.max_positions, width]))
            .transpose()?;
        let token_types = encoder
            .token_types
            .map(|types| checkpoint.take(&weight(names.token_types), &[types, width]))
            .transpose()?;
        let embed_norm = encoder.take_norm(checkpoint, names.embed_norm, width)?;

        let mut taken = Taken::new();
        let mut layers = Vec::new();
        for number in 0..blueprint.layers {
            for prefix in encoder.prefixes(number, blueprint.layers) {
                let layer = match taken.entry(prefix) {
                    Entry::Occupied(entry) => entry.get().clone(),
                    Entry::Vacant(entry) => {
                        let prefix = entry.key().clone();
                        let layer =
                            EncoderLayer::take((blueprint, encoder), checkpoint, &prefix, number)?;
                        entry.insert(layer).clone()
                    }
                };
                layers.push(layer);
            }
        }
        let final_norm = names
            .final_norm
            .map(|name| encoder.take_norm(checkpoint, name, blueprint.hidden_size))
            .transpose()?;
        let order = encoder.order;
        Ok(Self { order, positions, token_types, embed_norm, layers, final_norm })
    }

    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let norms = std::iter::once(&self.embed_norm).chain(&self.final_norm);
        self.positions
            .iter()
            .chain(&self.token_types)
            .chain(norms.flat_map(Norm::tensors))
            .chain(self.layers.iter().flat_map(EncoderLayer::tensors))
    }
}

impl EncoderWeights {
    /// The matrices of its layers.
    pub fn matrices(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(EncoderLayer::linears).map(|linear| &linear.weight)
    }
}

impl Encoder {
    /// The prefixes of the tensors of layer `number` of `count`.
    fn prefixes(&self, number: usize, count: usize) -> Vec<String> {
        let names = self.names;
        match self.stack {
            Stack::Plain | Stack::Windowed(_) => vec![format!("{}{number}.", names.layers)],
            Stack::Shared { groups, inner } => {
                // In floating point, as the reference computes it.
                let group = (number as f64 / (count as f64 / groups as f64)) as usize;
                let group = format!("{}{group}{}", names.layers, names.inner_layers);
                (0..inner).map(|layer| format!("{group}{layer}.")).collect()
            }
        }
    }

    /// Takes a norm. Checkpoints from before 2019 name gain and bias gamma and beta.
    fn take_norm(
        &self,
        checkpoint: &mut Checkpoint,
        name: &str,
        width: usize,
    ) -> Result<Norm, FormatError> {
        let mut part = |new: &str, old: &str| {
            let old = format!("{name}.{old}");
            let is_old = checkpoint.contains(&old);
            let name = if is_old { old } else { format!("{name}.{new}") };
            checkpoint.take(&name, &[width])
        };
        let gain = part("weight", "gamma")?;
        let bias = self.biases.norms.then(|| part("bias", "beta")).transpose()?;
        Ok(Norm { gain, bias, eps: self.norm_eps })
    }

    /// Takes the bias of the output layer: the one beside its matrix, or else the one under its second name. A
    /// checkpoint with both holds two copies.
    pub fn take_output_bias(
        &self,
        blueprint: &Blueprint,
        checkpoint: &mut Checkpoint,
    ) -> Result<Tensor, FormatError> {
        let own = format!("{}.bias", self.names.output);
        let shape = [blueprint.vocab_size];
        let Some(other) = self.names.output_bias else { return checkpoint.take(&own, &shape) };
        if !checkpoint.contains(&own) {
            return checkpoint.take(other, &shape);
        }
        if checkpoint.contains(other) {
            checkpoint.take(other, &shape)?;
        }
        checkpoint.take(&own, &shape)
    }
}

impl EncoderLayer {
    fn take(
        (blueprint, encoder): (&Blueprint, &Encoder),
        checkpoint: &mut Checkpoint,
        prefix: &str,
        number: usize,
    ) -> Result<Self, FormatError> {
        let (names, biases) = (encoder.names, encoder.biases);
        let (width, ffn) = (blueprint.hidden_size, blueprint.ffn_size);
        let full = |name: &str| format!("{prefix}{name}");
        let no_norm = number == 0 && encoder.order == NormOrder::Before;
        let attention_norm = (!no_norm)
            .then(|| encoder.take_norm(checkpoint, &full(names.attention_norm), width))
            .transpose()?;
        let ffn_norm = encoder.take_norm(checkpoint, &full(names.ffn_norm), width)?;
        let mut linear =
            |name, out, input, bias| Linear::take(checkpoint, &full(name), [out, input], bias);
        let mut projection = |name, out| linear(name, out, width, biases.attention);
        let qkv = match names.qkv {
            Qkv::Joint(all) => Qkv::Joint(projection(all, 3 * width)?),
            Qkv::Each([q, k, v]) => {
                Qkv::Each([projection(q, width)?, projection(k, width)?, projection(v, width)?])
            }
        };
        let o = projection(names.o, width)?;
        let inner = if encoder.gated { 2 * ffn } else { ffn };
        let ffn = Ffn {
            inner: linear(names.ffn_in, inner, width, biases.ffn)?,
            activation: encoder.activation,
            gated: encoder.gated,
            outer: linear(names.ffn_out, width, ffn, biases.ffn)?,
        };
        Ok(Self { attention_norm, qkv, span: encoder.attention_span(number), o, ffn_norm, ffn })
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let norms = self.attention_norm.iter().chain([&self.ffn_norm]);
        norms.flat_map(Norm::tensors).chain(self.linears().flat_map(Linear::tensors))
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let qkv = match &self.qkv {
            Qkv::Each(each) => &each[..],
            Qkv::Joint(all) => std::slice::from_ref(all),
        };
        qkv.iter().chain([&self.o, &self.ffn.inner, &self.ffn.outer])
    }
}

impl Norm {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.gain).chain(&self.bias)
    }
}

impl Transform {
    /// Takes the head's network, from the layers' width to the embedding's width.
    pub fn take(
        blueprint: &Blueprint,
        encoder: &Encoder,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, FormatError> {
        let (names, width) = (encoder.names, encoder.embedding_size);
        let shape = [width, blueprint.hidden_size];
        let dense = Linear::take(checkpoint, names.head_dense, shape, encoder.biases.head)?;
        let norm = encoder.take_norm(checkpoint, names.head_norm, width)?;
        Ok(Self { dense, activation: encoder.head_activation, norm })
    }

    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.dense.tensors().chain(self.norm.tensors())
    }
}
