//! The sizes and special ids of a Dream checkpoint, as its `config.json` holds them.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Sizes and special ids of a Dream model; fields are named as in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DreamConfig {
    /// V, the number of ids, special ones and padding included.
    pub vocab_size: usize,
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// F, the inner width of the feed-forward network.
    pub intermediate_size: usize,
    /// The number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads; divides D.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// ε under the root of each RMS norm.
    pub rms_norm_eps: f64,
    /// θ of the rotary embedding.
    pub rope_theta: f64,
    /// The longest sequence the model is meant for.
    pub max_position_embeddings: usize,
    /// The id of a masked position.
    pub mask_token_id: u32,
    /// The id that ends a text.
    pub eos_token_id: u32,
    /// The id that fills up short texts.
    pub pad_token_id: u32,
    /// The id that starts a text.
    pub bos_token_id: u32,
    /// Whether the head shares the embedding's weights.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether queries, keys and values have biases, as Dream's do and LLaDA's do not.
    #[serde(skip, default = "dreams")]
    pub qkv_bias: bool,
}

/// Dream's layers have biases.
fn dreams() -> bool {
    true
}

impl DreamConfig {
    /// The width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] names the first value that cannot work.
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
            format!("a multiple of 2 · {heads} heads"),
        )?;
        check(
            heads % kv == 0,
            "num_attention_heads",
            heads,
            format!("a multiple of {kv} key-value heads"),
        )?;
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

/// `Ok` if `ok`, else [`TrainError::Invalid`].
pub(crate) fn check(
    ok: bool,
    name: &'static str,
    got: impl ToString,
    expected: impl ToString,
) -> Result<(), TrainError> {
    if ok {
        Ok(())
    } else {
        Err(TrainError::Invalid { name, got: got.to_string(), expected: expected.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tiny_config;

    #[test]
    fn sizes_that_do_not_fit_are_refused_by_name() {
        assert!(tiny_config().validate().is_ok());
        let refused = |config: DreamConfig| match config.validate() {
            Err(TrainError::Invalid { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(DreamConfig { hidden_size: 12, ..tiny_config() }), "hidden_size");
        assert_eq!(
            refused(DreamConfig { num_attention_heads: 0, ..tiny_config() }),
            "num_attention_heads"
        );
        assert_eq!(
            refused(DreamConfig { num_key_value_heads: 3, ..tiny_config() }),
            "num_attention_heads"
        );
        assert_eq!(refused(DreamConfig { mask_token_id: 8, ..tiny_config() }), "mask_token_id");
        assert_eq!(refused(DreamConfig { rope_theta: f64::NAN, ..tiny_config() }), "rope_theta");
    }
}
