//! Defaults and checks of attention that several architectures share.

use crate::config::Config;
use crate::error::FormatError;

/// θ of the rotary positions of an encoder's sampler layer. The encoder defines none for it.
pub(super) const SAMPLER_THETA: f32 = 10_000.0;
/// ε of the norms of an encoder's sampler layer. BERT's own, 1e-12, vanishes beside any square in float32.
pub(super) const SAMPLER_EPS: f32 = 1e-6;

/// The default θ of the rotary embedding, in Transformers and in LLaDA's own code.
const DEFAULT_THETA: f64 = 10_000.0;

/// θ of the rotary embedding: the configuration's, or the default with a note.
pub(super) fn theta_or_default(theta: Option<f64>) -> (f32, Vec<String>) {
    let note = || {
        format!(
            "config.json gives no rope_theta: the default of the architecture is taken, {DEFAULT_THETA}"
        )
    };
    let notes = theta.is_none().then(note).into_iter().collect();
    (theta.unwrap_or(DEFAULT_THETA) as f32, notes)
}

/// The sizes of attention.
pub(super) struct Heads {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

impl Heads {
    /// Reads the sizes under these keys, fills in defaults and checks that they divide.
    pub(super) fn read(
        config: &Config,
        hidden_size: usize,
        [heads_key, kv_heads_key, head_dim_key]: [&str; 3],
    ) -> Result<Self, FormatError> {
        let heads = config.size(heads_key)?;
        let kv_heads = config.size_or_none(kv_heads_key)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.error(kv_heads_key, &format!("a divisor of {heads_key} {heads}")));
        }
        let head_dim = match config.size_or_none(head_dim_key)? {
            Some(head_dim) => head_dim,
            None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                let expected = format!("a divisor of the hidden size {hidden_size}");
                return Err(config.error(heads_key, &expected));
            }
        };
        if !head_dim.is_multiple_of(2) {
            let expected = format!("a number for which heads have an even width, not {head_dim}");
            return Err(config.error(heads_key, &expected));
        }
        Ok(Self { heads, kv_heads, head_dim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_must_divide() {
        let read = |heads, kv_heads, head_dim| {
            let config = Config::of(json!({"h": heads, "kv": kv_heads, "d": head_dim}));
            Heads::read(&config, 48, ["h", "kv", "d"]).map(|heads| heads.head_dim)
        };
        assert_eq!(read(4, json!(2), json!(null)).unwrap(), 12);
        assert_eq!(read(4, json!(null), json!(8)).unwrap(), 8);
        assert!(read(4, json!(3), json!(null)).is_err());
        assert!(read(5, json!(5), json!(null)).is_err());
        assert!(read(16, json!(4), json!(null)).is_err(), "three is not even");
    }
}
