//! The sizes and special ids of a Dream checkpoint, as in its `config.json`.

use serde::{Deserialize, Serialize};

use crate::error::{TrainError, check};

/// Sizes and special ids of a Dream model; fields are named as in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DreamConfig {
    /// V, the number of ids, including special ones and padding.
    pub vocab_size: usize,
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// F, the inner width of the feed-forward network.
    pub intermediate_size: usize,
    /// The number of decoder layers.
    pub num_hidden_layers: usize,
    /// The number of query heads; divides D.
    pub num_attention_heads: usize,
    /// The number of key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// ε under the root of each RMS norm.
    pub rms_norm_eps: f64,
    /// θ of the rotary embedding.
    pub rope_theta: f64,
    /// The longest supported sequence.
    pub max_position_embeddings: usize,
    /// The id of a masked position.
    pub mask_token_id: u32,
    /// The id that ends a text.
    pub eos_token_id: u32,
    /// The id that pads short texts.
    pub pad_token_id: u32,
    /// The id that starts a text.
    pub bos_token_id: u32,
    /// Whether the head shares the embedding's weights.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// B, the length of the attention blocks of a block-causal model, whose logits are not shifted. `None` for full attention
    /// and Dream's shift.
    #[serde(default)]
    pub block_size: Option<usize>,
    /// Whether queries, keys and values have biases. Those of Dream have, those of LLaDA do not.
    #[serde(skip, default = "dream_has_biases")]
    pub qkv_bias: bool,
}

fn dream_has_biases() -> bool {
    true
}

impl DreamConfig {
    /// The width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Checks that the sizes are consistent.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] names the first unusable value.
    pub fn validate(&self) -> Result<(), TrainError> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (name, value) in positive {
            check(value > 0, name, value, "at least 1")?;
        }
        let (width, heads, kv) =
            (self.hidden_size, self.num_attention_heads, self.num_key_value_heads);
        check(
            width % (2 * heads) == 0,
            "hidden_size",
            width,
            format!("a multiple of 2 × num_attention_heads ({})", 2 * heads),
        )?;
        check(
            heads % kv == 0,
            "num_attention_heads",
            heads,
            format!("a multiple of {kv} key-value heads"),
        )?;
        check(self.block_size != Some(0), "block_size", 0, "at least 1")?;
        check(self.rope_theta > 0.0, "rope_theta", self.rope_theta, "above 0")?;
        check(self.rms_norm_eps >= 0.0, "rms_norm_eps", self.rms_norm_eps, "0 or above")?;
        let ids = [
            ("mask_token_id", self.mask_token_id),
            ("eos_token_id", self.eos_token_id),
            ("pad_token_id", self.pad_token_id),
            ("bos_token_id", self.bos_token_id),
        ];
        for (name, id) in ids {
            check(
                (id as usize) < self.vocab_size,
                name,
                id,
                format!("below vocab_size = {}", self.vocab_size),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl DreamConfig {
    /// A model of a few thousand weights: D 16, 2 layers, 4 heads over 2, V 8 with mask 6 and end 7.
    pub(crate) fn tiny() -> Self {
        Self {
            vocab_size: 8,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            max_position_embeddings: 8,
            mask_token_id: 6,
            eos_token_id: 7,
            pad_token_id: 7,
            bos_token_id: 7,
            tie_word_embeddings: false,
            block_size: None,
            qkv_bias: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inconsistent_sizes_are_rejected_by_name() {
        assert!(DreamConfig::tiny().validate().is_ok());
        let rejected = |config: DreamConfig| match config.validate() {
            Err(TrainError::Invalid { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(rejected(DreamConfig { hidden_size: 12, ..DreamConfig::tiny() }), "hidden_size");
        assert_eq!(
            rejected(DreamConfig { num_attention_heads: 0, ..DreamConfig::tiny() }),
            "num_attention_heads"
        );
        assert_eq!(
            rejected(DreamConfig { num_key_value_heads: 3, ..DreamConfig::tiny() }),
            "num_attention_heads"
        );
        assert_eq!(
            rejected(DreamConfig { mask_token_id: 8, ..DreamConfig::tiny() }),
            "mask_token_id"
        );
        assert_eq!(
            rejected(DreamConfig { rope_theta: f64::NAN, ..DreamConfig::tiny() }),
            "rope_theta"
        );
    }
}
