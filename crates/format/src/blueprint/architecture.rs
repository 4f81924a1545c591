//! Recognition of the architecture that a `config.json` describes.

use serde_json::Value;

use super::encoder_kind::{self, EncoderKind};
use super::kinds::other_kind;
use super::{blocks, llada, qwen};
use crate::config::Config;
use crate::error::FormatError;

/// A supported architecture.
pub(super) enum Architecture {
    Llada,
    Qwen(qwen::Variant),
    Encoder(EncoderKind),
}

impl Architecture {
    /// Recognises the architecture by `model_type`, class and, for an old BERT, other keys.
    pub(super) fn of(config: &Config) -> Result<Self, FormatError> {
        let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let class = encoder_kind::class(config);
        let encoder = EncoderKind::of(model_type, class, config);
        // Related models of other kinds share the type, such as LLaDA's mixture of experts.
        let expected = match (model_type, encoder) {
            ("llada", _) => ["LLaDAModelLM"].as_slice(),
            (kind, _) if kind.eq_ignore_ascii_case("dream") => qwen::DREAM_CLASSES.as_slice(),
            (_, Some(encoder)) => encoder.classes(),
            _ => class.as_slice(),
        };
        if class.is_some_and(|class| !expected.contains(&class)) {
            let kind = "a model of another class than the one that this type is exported for";
            return Err(other_kind(config, "architectures", kind));
        }
        if model_type == "llada" {
            return Ok(Self::Llada);
        }
        if let Some(encoder) = encoder {
            return Ok(Self::Encoder(encoder));
        }
        let variant = qwen::Variant::of(model_type, config);
        variant.map(Self::Qwen).ok_or_else(|| FormatError::UnknownArchitecture {
            path: config.path.clone(),
            model_type: config.describe("model_type"),
            architectures: config.describe("architectures"),
        })
    }

    /// The keys of `config.json` that the architecture honours.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        match self {
            Self::Llada => llada::KEYS.to_vec(),
            Self::Qwen(qwen::Variant::Dream) => qwen::KEYS.to_vec(),
            Self::Qwen(_) => [qwen::KEYS, &blocks::KEYS].concat(),
            Self::Encoder(encoder) => encoder.keys().to_vec(),
        }
    }
}
