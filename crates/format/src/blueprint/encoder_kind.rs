//! Recognition of encoders of the BERT family.

use serde_json::Value;

use super::{bert, modernbert};
use crate::config::Config;

/// An architecture of the BERT family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncoderKind {
    Bert,
    Albert,
    ModernBert,
}

impl EncoderKind {
    /// Recognises a model by its `model_type` or else by its class. A BERT without either, as old ones are, is
    /// recognised by other keys, and confirmed later by its tensors' names.
    pub(super) fn of(model_type: &str, class: Option<&str>, config: &Config) -> Option<Self> {
        let all = [Self::Bert, Self::Albert, Self::ModernBert];
        let found = match (model_type, class) {
            ("", Some(class)) => all.into_iter().find(|own| own.classes().contains(&class)),
            _ => all.into_iter().find(|own| own.model_type() == model_type),
        };
        let is_bare = model_type.is_empty() && class.is_none();
        let has = |keys: &[&str]| keys.iter().all(|key| config.get(key).is_some());
        let is_bert = || is_bare && has(&["type_vocab_size", "hidden_act", "layer_norm_eps"]);
        let kind = || if has(&["embedding_size"]) { Self::Albert } else { Self::Bert };
        found.or_else(|| is_bert().then(kind))
    }

    fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Albert => "albert",
            Self::ModernBert => "modernbert",
        }
    }

    /// Classes with a head for masked language modelling.
    pub(super) fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Bert => bert::CLASSES,
            Self::Albert => &["AlbertForMaskedLM", "AlbertForPreTraining"],
            Self::ModernBert => &["ModernBertForMaskedLM"],
        }
    }

    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Bert => bert::KEYS,
            Self::Albert => bert::ALBERT_KEYS,
            Self::ModernBert => modernbert::KEYS,
        }
    }
}

/// The first class in `architectures`, if any.
pub(super) fn class(config: &Config) -> Option<&str> {
    config.get("architectures").and_then(Value::as_array)?.first()?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_encoder_is_recognised_by_type_class_or_by_its_keys() {
        let of = |config: Value| {
            let config = Config::of(config);
            let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
            EncoderKind::of(model_type, class(&config), &config)
        };
        let bare = json!({"type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12});
        assert_eq!(of(json!({"model_type": "albert"})), Some(EncoderKind::Albert));
        assert_eq!(of(json!({"architectures": ["BertForMaskedLM"]})), Some(EncoderKind::Bert));
        assert_eq!(of(bare.clone()), Some(EncoderKind::Bert));
        for (key, value) in [
            ("model_type", json!("roberta")),
            ("architectures", json!(["RobertaForMaskedLM"])),
            ("hidden_act", json!(null)),
        ] {
            let mut other = bare.clone();
            other[key] = value;
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }
}
