//! The attention blocks of block-causal models.

use std::path::Path;

use serde_json::Value;

use super::structure::Overrides;
use crate::config::Config;
use crate::error::FormatError;

/// The keys that hold the length of a block: Fast-dLLM v2 writes the first one, SDAR and DreamReasoner the second.
pub(super) const KEYS: [&str; 2] = ["bd_size", "block_size"];

/// The length of attention blocks that the caller gives, if any.
pub(super) fn given(overrides: Overrides) -> Option<Option<usize>> {
    overrides.attention_block.map(|length| Some(length).filter(|&length| length > 0))
}

/// The length of attention blocks that the configuration holds, if any.
pub(super) fn configured(config: &Config) -> Result<Option<usize>, FormatError> {
    let [first, second] = KEYS.map(|key| length(config, key));
    match (first?, second?) {
        (Some(first), Some(second)) if first != second => {
            Err(config.error(KEYS[0], &format!("the same length as {}, {second}", KEYS[1])))
        }
        (first, second) => Ok(first.or(second)),
    }
}

fn length(config: &Config, key: &str) -> Result<Option<usize>, FormatError> {
    let is_unset = |value: &Value| *value == 0 || *value == false;
    if config.get(key).is_none_or(is_unset) { Ok(None) } else { config.size_or_none(key) }
}

/// The length of attention blocks of a model that has them, whether or not its configuration holds the length.
pub(super) fn required(
    config: &Config,
    overrides: Overrides,
) -> Result<Option<usize>, FormatError> {
    match given(overrides) {
        Some(given) => Ok(given),
        None => configured(config)?.map(Some).ok_or_else(|| unknown(config)),
    }
}

/// The length of attention blocks of a model that dLLM converted. Its trainer of block-causal models writes no key,
/// so the folders of both kinds of model can be equal.
pub(super) fn of_either_kind(
    config: &Config,
    overrides: Overrides,
    notes: &mut Vec<String>,
) -> Result<Option<usize>, FormatError> {
    let found = match given(overrides) {
        Some(given) => return Ok(given),
        None => configured(config)?,
    };
    if found.is_none() {
        if is_named_bd3lm(config.folder()) {
            return Err(unknown(config));
        }
        notes.push(
            "config.json names no block_size: full attention is taken, which is wrong for a bd3lm model".into(),
        );
    }
    Ok(found)
}

/// Whether a folder, or the model's folder of the Hub's cache that holds it, is named after dLLM's block-causal
/// models.
fn is_named_bd3lm(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().to_lowercase())
    };
    let cached =
        folder.parent().filter(|&parent| name(Some(parent)).is_some_and(|n| n == "snapshots"));
    [Some(&*folder), cached.and_then(Path::parent)]
        .into_iter()
        .any(|path| name(path).is_some_and(|name| name.contains("bd3lm")))
}

fn unknown(config: &Config) -> FormatError {
    FormatError::AttentionBlockUnknown {
        path: config.path.clone(),
        model_type: config.describe("model_type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    #[test]
    fn the_length_is_read_from_either_key() {
        let of = |config: Value| configured(&Config::of(config));
        assert_eq!(of(json!({"block_size": 4})).unwrap(), Some(4));
        assert_eq!(of(json!({"bd_size": 32})).unwrap(), Some(32));
        assert_eq!(of(json!({"bd_size": 8, "block_size": 8})).unwrap(), Some(8));
        for unset in
            [json!({}), json!({"block_size": null}), json!({"bd_size": 0, "block_size": false})]
        {
            assert_eq!(of(unset).unwrap(), None);
        }
        for bad in [json!({"block_size": -4}), json!({"bd_size": "4"}), json!({"block_size": 2.5})]
        {
            assert!(of(bad).is_err());
        }
        let message = of(json!({"bd_size": 8, "block_size": 4})).unwrap_err().to_string();
        assert!(message.contains("bd_size is 8") && message.contains("block_size, 4"), "{message}");
    }

    #[test]
    fn a_given_length_overrides_the_configuration() {
        let config = Config::of(json!({"block_size": 4}));
        let with = |attention_block| Overrides { attention_block, ..Overrides::default() };
        assert_eq!(required(&config, with(None)).unwrap(), Some(4));
        assert_eq!(required(&config, with(Some(16))).unwrap(), Some(16));
        assert_eq!(required(&config, with(Some(0))).unwrap(), None);
        let without = Config::of(json!({"model_type": "sdar"}));
        let message = required(&without, with(None)).unwrap_err().to_string();
        assert!(message.contains("sdar") && message.contains("attention block"), "{message}");
        assert_eq!(required(&without, with(Some(8))).unwrap(), Some(8));
    }

    /// dLLM's two kinds of model share type and class. Where the folder's name distinguishes them, full attention is
    /// not assumed.
    #[test]
    fn a_folder_named_bd3lm_requires_a_length() {
        let root = tempfile::tempdir().unwrap();
        let of = |folder: &str, given| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let (config, mut notes) =
                (Config::new(folder.join("config.json"), Map::new()), Vec::new());
            let overrides = Overrides { attention_block: given, ..Overrides::default() };
            let length = of_either_kind(&config, overrides, &mut notes);
            (length.map_err(|error| error.to_string()), notes.len())
        };
        for folder in [
            "Qwen3-0.6B-diffusion-BD3LM-v0.1",
            "models--a--bd3lm/snapshots/0123abc",
            "bd3lm/snapshots/bd3lm",
        ] {
            let (error, _) = of(folder, None);
            assert!(error.as_ref().unwrap_err().contains("attention block"), "{error:?}");
            assert_eq!(of(folder, Some(32)), (Ok(Some(32)), 0));
            assert_eq!(of(folder, Some(0)), (Ok(None), 0));
        }
        for folder in
            ["Qwen3-0.6B-diffusion-mdlm-v0.1", "bd3lm/mdlm", "models--a--mdlm/snapshots/0123abc"]
        {
            assert_eq!(of(folder, None), (Ok(None), 1));
        }
    }
}
