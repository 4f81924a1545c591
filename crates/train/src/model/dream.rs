//! The Dream architecture: a bidirectional Qwen2-style decoder with shifted logits.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, RmsNorm};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::DreamConfig;
use super::decoder::{DecoderLayer, Rotary, UNSEEN, rms_norm};

/// A Dream model.
///
/// During training, the head shares the embedding's matrix E, and embeddings are scaled by √D. This trains faster than
/// two separate matrices. [`checkpoint::save`](super::checkpoint::save) writes such a model as an untied checkpoint,
/// `embed_tokens = √D·E` and `lm_head = E`.
#[derive(Module, Debug)]
pub struct DreamModule {
    /// Token embedding, [V, D].
    pub embed_tokens: Embedding,
    /// The decoder layers.
    pub layers: Vec<DecoderLayer>,
    /// The final norm.
    pub norm: RmsNorm,
    /// The head, [V, D]; `None` if it is tied to the embedding.
    pub lm_head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    embed_scale: f32,
    #[module(skip)]
    config: DreamConfig,
}

impl DreamModule {
    /// A tied model of `config`'s sizes with all weights zero; see [`init`](super::init()).
    pub fn tied(config: &DreamConfig, device: &Device) -> Self {
        let embedding = EmbeddingConfig::new(config.vocab_size, config.hidden_size);
        Self {
            embed_tokens: embedding.with_initializer(Initializer::Zeros).init(device),
            layers: (0..config.num_hidden_layers)
                .map(|_| DecoderLayer::new(config, device))
                .collect(),
            norm: rms_norm(config, device),
            lm_head: None,
            embed_scale: (config.hidden_size as f32).sqrt(),
            config: config.clone(),
        }
    }

    /// As [`DreamModule::tied`], with a separate head and no scaling: the form of a checkpoint.
    pub fn untied(config: &DreamConfig, device: &Device) -> Self {
        let head = Initializer::Zeros.init([config.vocab_size, config.hidden_size], device);
        Self { lm_head: Some(head), embed_scale: 1.0, ..Self::tied(config, device) }
    }

    /// The model's sizes.
    pub fn config(&self) -> &DreamConfig {
        &self.config
    }

    /// The same weights for sequences of up to the positions of `config`, and its attention blocks.
    pub(crate) fn with_rows_of(mut self, config: &DreamConfig) -> Self {
        self.config.max_position_embeddings = config.max_position_embeddings;
        self.config.block_size = config.block_size;
        self
    }

    /// The factor on embeddings: √D if tied, else 1.
    pub fn embed_scale(&self) -> f32 {
        self.embed_scale
    }

    /// The head's matrix, [V, D].
    pub fn head(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.val(),
            None => self.embed_tokens.weight.val(),
        }
    }

    /// Ids [B, T] → the first layer's input embeddings, [B, T, D].
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.embed_tokens.forward(ids).mul_scalar(self.embed_scale)
    }

    /// Ids [B, T] → hidden states after the final norm [B, T, D], **not** shifted: row i predicts
    /// position i + 1.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.forward_biased(ids, None)
    }

    /// Ids [B, T] → hidden states [B, T, D] whose row i predicts position i: with Dream's [`shift`], or those of a block-causal
    /// model ([`DreamConfig::block_size`]).
    pub fn predicting(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let Some(block) = self.config.block_size else { return shift(self.forward(ids)) };
        let length = ids.dims()[1];
        let bias: Vec<f32> = (0..length * length)
            .map(|i| if i % length / block <= i / length / block { 0.0 } else { UNSEEN })
            .collect();
        let device = self.norm.gamma.device();
        let bias = Tensor::from_data(TensorData::new(bias, [1, 1, length, length]), &device);
        self.forward_biased(ids, Some(&bias))
    }

    /// As [`forward`](Self::forward), with a bias [B or 1, 1, 1 or T, T] that is added to the attention scores.
    pub(crate) fn forward_biased(
        &self,
        ids: Tensor<2, Int>,
        bias: Option<&Tensor<4>>,
    ) -> Tensor<3> {
        let rotary = Rotary::new(&self.config, ids.dims()[1], &self.norm.gamma.device());
        self.forward_at(ids, &rotary, bias)
    }

    /// As [`forward_biased`](Self::forward_biased), at the positions of `rotary`.
    pub(crate) fn forward_at(
        &self,
        ids: Tensor<2, Int>,
        rotary: &Rotary,
        bias: Option<&Tensor<4>>,
    ) -> Tensor<3> {
        let mut x = self.embed(ids);
        for layer in &self.layers {
            let context = layer.keys_values(x.clone(), rotary);
            x = layer.attend(x, rotary, context, bias);
        }
        self.norm.forward(x)
    }

    /// Hidden states [.., D] → logits [.., V].
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        hidden.matmul(self.head().transpose().unsqueeze())
    }
}

/// Applies Dream's shift: row i becomes the old row i − 1, and row 0 stays. Row i then predicts position i.
/// [B, T, D] → [B, T, D].
pub fn shift(hidden: Tensor<3>) -> Tensor<3> {
    let length = hidden.dims()[1];
    let first = hidden.clone().narrow(1, 0, 1);
    Tensor::cat(vec![first, hidden.narrow(1, 0, length - 1)], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_repeats_the_first_row_and_drops_the_last() {
        let hidden = Tensor::<3>::from_data(
            TensorData::new(vec![1.0f32, 2.0, 3.0], [1, 3, 1]),
            &Device::default(),
        );
        let shifted: Vec<f32> = shift(hidden).into_data().iter().collect();
        assert_eq!(shifted, [1.0, 1.0, 2.0]);
    }
}
