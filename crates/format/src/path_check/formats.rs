//! Detection of folders without a `config.json` that hold a model in another format.

use std::path::Path;

use super::entries::{has_extension, names, not_a_checkpoint};
use crate::error::FormatError;
use crate::header::Header;
use crate::names::{CONFIG, SINGLE};
use crate::weights::is_sampler_mark;

/// The reason for rejecting a GGUF file.
pub(super) const GGUF: &str = "this is a model in the format of llama.cpp (GGUF), usually quantised: give the folder of the \
                               original checkpoint, with config.json and .safetensors files";

/// Rejects a folder without a `config.json` in which another format is recognised.
pub(super) fn reject_others(folder: &Path) -> Result<(), FormatError> {
    if folder.join(CONFIG).exists() {
        return Ok(());
    }
    match recognise(folder) {
        None => Ok(()),
        Some(reason) => Err(not_a_checkpoint(folder, reason)),
    }
}

/// The reason for rejecting a folder in another format.
fn recognise(folder: &Path) -> Option<String> {
    let names = names(folder);
    let has = |name: &str| names.iter().any(|own| own == name);
    if names.iter().any(|name| has_extension(Path::new(name), "gguf")) {
        return Some(GGUF.into());
    }
    if has("model_index.json") {
        return Some("this is a pipeline of Diffusers, not a language model".into());
    }
    if has("params.json") || names.iter().any(|name| name.starts_with("consolidated.")) {
        let reason = "these are weights in their maker's own format: give a checkpoint in the Hugging Face layout, with \
                      config.json and .safetensors files";
        return Some(reason.into());
    }
    if is_sampler(folder) {
        let reason = "this is a sampler layer by itself: give it as `sampler`, and its base model as the checkpoint";
        return Some(reason.into());
    }
    let below = names.iter().filter(|name| folder.join(name).join("config.json").is_file());
    let below: Vec<_> = below.map(|name| folder.join(name).display().to_string()).collect();
    let shown = below.iter().take(3).cloned().collect::<Vec<_>>().join(" or ");
    let more = if below.len() > 3 { " …" } else { "" };
    (!below.is_empty())
        .then(|| format!("there is no config.json, but one below it: give {shown}{more}"))
}

/// Whether the weights are those of a sampler layer.
fn is_sampler(folder: &Path) -> bool {
    let header = Header::read(&folder.join(SINGLE)).ok();
    header.is_some_and(|header| header.metadata.tensors().keys().any(|name| is_sampler_mark(name)))
}
