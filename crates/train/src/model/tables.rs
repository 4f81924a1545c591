//! The frozen model's embedding and head, which training of the sampler layer keeps in memory.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use conjoint_format::LayerSizes;

use super::config::DreamConfig;
use super::head::Head;
use crate::error::{TrainError, check};

/// The parts of a frozen model that stay in memory while its sampler layer is trained. A teacher runs the rest.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// [V, D].
    embedding: Tensor<2>,
    head: Head,
    config: DreamConfig,
}

impl Tables {
    /// Reads the tables from a checkpoint of any kind that `conjoint export` reads.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`], and [`TrainError::Invalid`] for sizes that a sampler layer cannot have.
    pub fn read(folder: &Path, device: &Device) -> Result<Self, TrainError> {
        let conjoint_format::Tables { sizes, embedding, head } =
            conjoint_format::Tables::read(folder).map_err(TrainError::checkpoint(folder))?;
        let config = config(&sizes)?;
        let shape = [sizes.vocab_size, sizes.hidden_size];
        let embedding = Tensor::from_data(TensorData::new(embedding, shape), device);
        Ok(Self { embedding, head: Head::read(head, &sizes, device)?, config })
    }

    /// The sizes of the model's layers, which are also those of its sampler layer.
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
    let expected = format!("hidden_size = {}, as a sampler layer requires", sizes.hidden_size);
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
        // Training does not use the next three.
        eos_token_id: sizes.tokens.eos.first().copied().unwrap_or(mask),
        pad_token_id: sizes.tokens.pad.unwrap_or(mask),
        bos_token_id: sizes.tokens.bos.unwrap_or(mask),
        tie_word_embeddings: false,
        block_size: None,
        qkv_bias: sizes.qkv_bias,
    };
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
impl Tables {
    /// The tables of a model in memory.
    pub fn of(model: &super::dream::DreamModule) -> Self {
        let embedding = model.embed_tokens.weight.val().mul_scalar(model.embed_scale());
        Self { embedding, head: Head::plain(model.head()), config: model.config().clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint;
    use crate::model::sampler::SamplerModule;
    use crate::model::testing::fixture;

    #[test]
    fn tables_equal_those_of_the_whole_model() {
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

    #[test]
    fn lladas_layers_have_no_biases() {
        let device = Device::default();
        let tables = Tables::read(&fixture("llada-tiny"), &device).unwrap();
        let layer = SamplerModule::new(tables.config(), 1, &device);
        assert!(
            layer.layers[0].self_attn.q_proj.bias.is_none() && layer.down_project.bias.is_some()
        );
        let missing = Tables::read(Path::new("nowhere"), &device);
        assert!(matches!(missing, Err(TrainError::Checkpoint { .. })), "{missing:?}");
    }
}
