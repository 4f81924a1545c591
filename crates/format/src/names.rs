//! Names of the files in a model's folder.

use std::path::{Component, Path};

/// File name of the manifest in an exported model's folder.
pub const MANIFEST: &str = "conjoint.json";
/// File name of a checkpoint's configuration.
pub const CONFIG: &str = "config.json";
/// File name of the weights of a checkpoint that has one weight file.
pub const SINGLE: &str = "model.safetensors";
/// File name of the index that maps each tensor to its shard.
pub const INDEX: &str = "model.safetensors.index.json";
/// File name of pickled weights.
pub const PICKLED: &str = "pytorch_model.bin";

/// Folder of links to weights that lie elsewhere, in an export beside its checkpoint.
pub const WEIGHTS: &str = "weights";
/// Path of weights converted from pickled ones, where the checkpoint's folder is also the output folder. Under
/// the name `model.safetensors` they would conflict with weights that are downloaded later.
pub const CONVERTED: &str = "weights/model.safetensors";

/// Files of a checkpoint that are neither weights nor code.
pub const COMPANIONS: [&str; 11] = [
    CONFIG,
    "generation_config.json",
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
];

/// Whether a name read from a file denotes an entry of that file's own folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_folder_are_plain() {
        for name in ["a", "a.onnx", "..a", "a b"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", "/a", "a/b", "../a", "./a", "a/"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
