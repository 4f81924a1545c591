//! The frozen model's embedding and head, which the sampler layer is trained between.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use conjoint_export::LayerSizes;

use crate::TrainError;
use crate::config::{DreamConfig, check};
use crate::head::Head;

/// All of a frozen model that is in memory while its sampler layer is trained; the rest answers as a
/// [`Teacher`](crate::teacher::Teacher).
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// [V, D].
    embedding: Tensor<2>,
    head: Head,
    config: DreamConfig,
}

impl Tables {
    /// Reads them from a checkpoint of any kind that `conjoint export` reads.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`], and [`TrainError::Invalid`] for sizes that no sampler layer here has.
    pub fn read(folder: &Path, device: &Device) -> Result<Self, TrainError> {
        let conjoint_export::Tables { sizes, embedding, head } =
            conjoint_export::Tables::read(folder)?;
        let config = config(&sizes)?;
        let shape = [sizes.vocab_size, sizes.hidden_size];
        let embedding = Tensor::from_data(TensorData::new(embedding, shape), device);
        Ok(Self { embedding, head: Head::read(head, &sizes, device)?, config })
    }

    /// The sizes of the model's layers, and so of its sampler layer.
    pub fn config(&self) -> &DreamConfig {
        &self.config
    }

    /// The output head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Ids [B, T] → embeddings [B, T, D].
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = ids.dims();
        let rows = self.embedding.clone().select(0, ids.reshape([batch * length]));
        rows.reshape([batch, length, self.config.hidden_size])
    }

    pub fn device(&self) -> Device {
        self.head.device()
    }

    /// A copy on `device`.
    pub fn on(&self, device: &Device) -> Self {
        Self {
            embedding: self.embedding.clone().to_device(device),
            head: self.head.on(device),
            config: self.config.clone(),
        }
    }
}

fn config(sizes: &LayerSizes) -> Result<DreamConfig, TrainError> {
    let whole = sizes.heads * sizes.head_dim;
    let expected = format!("hidden_size = {}, for a sampler layer", sizes.hidden_size);
    check(whole == sizes.hidden_size, "heads · head_dim", whole, expected)?;
    let mask = sizes.tokens.mask;
    let config = DreamConfig {
        vocab_size: sizes.vocab_size,
        hidden_size: sizes.hidden_size,
        intermediate_size: sizes.ffn_size,
        num_hidden_layers: 1,
        num_attention_heads: sizes.heads,
        num_key_value_heads: sizes.kv_heads,
        rms_norm_eps: f64::from(sizes.norm_eps),
        rope_theta: f64::from(sizes.rope_theta),
        max_position_embeddings: sizes.max_positions,
        mask_token_id: mask,
        // No part of the training looks at these.
        eos_token_id: sizes.tokens.eos.first().copied().unwrap_or(mask),
        pad_token_id: sizes.tokens.pad.unwrap_or(mask),
        bos_token_id: sizes.tokens.bos.unwrap_or(mask),
        tie_word_embeddings: false,
        qkv_bias: sizes.qkv_bias,
    };
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
impl Tables {
    /// Those of a model in memory.
    pub fn of(model: &crate::dream::DreamModule) -> Self {
        let embedding = model.embed_tokens.weight.val().mul_scalar(model.embed_scale());
        Self { embedding, head: Head::plain(model.head()), config: model.config().clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint;
    use crate::sampler::SamplerModule;
    use crate::testing::{self, fixture};

    #[test]
    fn the_tables_are_those_of_the_whole_model() {
        let device = Device::default();
        let tables = Tables::read(&fixture("dream-tiny"), &device).unwrap();
        let whole = checkpoint::load(&fixture("dream-tiny"), &device).unwrap();
        let ids = |ids: Vec<i32>, shape: [usize; 2]| -> Tensor<2, Int> {
            Tensor::from_data(TensorData::new(ids, shape), &device)
        };
        let hidden = whole.embed(ids(vec![3, 7], [1, 2])).reshape([2, whole.config().hidden_size]);
        let expected = hidden.clone().matmul(whole.head().transpose());
        let logits = tables.head().logits(hidden);
        assert_eq!(logits.to_data(), expected.to_data());
        let six = || ids(vec![3, 7, 1, 0, 2, 9], [2, 3]);
        assert_eq!(tables.embed(six()).to_data(), whole.embed(six()).to_data());
        let expected = whole.config();
        let ours = tables.config();
        assert_eq!(
            (ours.num_attention_heads, ours.num_key_value_heads, ours.intermediate_size),
            (
                expected.num_attention_heads,
                expected.num_key_value_heads,
                expected.intermediate_size
            )
        );
        assert_eq!(ours.mask_token_id, expected.mask_token_id);
    }

    /// A factorised table is multiplied out: rows are what the reference's layer was given.
    #[test]
    fn an_encoders_layer_has_its_sizes_and_agrees_with_the_reference() {
        let device = Device::default();
        let tables = Tables::read(&fixture("albert-tiny"), &device).unwrap();
        let config = tables.config();
        assert_eq!((config.hidden_size, config.intermediate_size, config.qkv_bias), (16, 24, true));
        assert_eq!((config.rope_theta, config.rms_norm_eps as f32), (1e4, 1e-6));
        let folder = fixture("adjust-albert-tiny");
        let layer =
            SamplerModule::load(&folder.join("model.safetensors"), config, &device).unwrap();
        let reference = folder.join("reference.safetensors");
        let mut hidden = testing::tensor::<3>(&reference, "step0.hidden", &device);
        for step in 1..=3 {
            let ids = testing::ids(&reference, &format!("step{step}.input_ids"), &device);
            hidden = layer.forward(tables.embed(ids), hidden);
            testing::assert_close(&hidden, &reference, &format!("step{step}.hidden"), 1e-4);
            let [batch, length, width] = hidden.dims();
            let logits = tables.head().logits(hidden.clone().reshape([batch * length, width]));
            let logits = logits.reshape([batch, length, config.vocab_size]);
            testing::assert_close(&logits, &reference, &format!("step{step}.logits"), 1e-4);
        }
    }

    #[test]
    fn lladas_layers_have_no_biases() {
        let device = Device::default();
        let tables = Tables::read(&fixture("llada-tiny"), &device).unwrap();
        let layer = SamplerModule::new(tables.config(), 1, &device);
        assert!(
            layer.layers[0].self_attn.q_proj.bias.is_none() && layer.down_project.bias.is_some()
        );
        let missing = Tables::read(Path::new("nowhere"), &device);
        assert!(matches!(missing, Err(TrainError::Checkpoint(_))), "{missing:?}");
    }
}
