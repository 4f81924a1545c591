//! Folders without a `config.json` that hold a model in another form.

use std::path::Path;

use super::{has_extension, names, not};
use crate::checkpoint::SINGLE;
use crate::error::ExportError;
use crate::header::Header;
use crate::weights::is_of_sampler;

/// What a GGUF file is.
pub(super) const GGUF: &str = "this is a model in the format of llama.cpp (GGUF), mostly a quantised one: give the folder of the \
                               original checkpoint, with config.json and .safetensors files";

/// Rejects a folder without a `config.json` in which something else can be recognised.
pub(super) fn reject_others(folder: &Path) -> Result<(), ExportError> {
    if folder.join("config.json").exists() {
        return Ok(());
    }
    match recognised(folder) {
        None => Ok(()),
        Some(reason) => Err(not(folder, reason)),
    }
}

fn recognised(folder: &Path) -> Option<String> {
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

/// Whether the weights are those of a sampler layer alone.
fn is_sampler(folder: &Path) -> bool {
    let header = Header::read(&folder.join(SINGLE)).ok();
    header.is_some_and(|header| header.metadata.tensors().keys().any(|name| is_of_sampler(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::sniff::checkpoint;

    #[test]
    fn other_formats_are_named() {
        for (file, parts) in [
            ("model.gguf", "llama.cpp"),
            ("model_index.json", "Diffusers"),
            ("params.json", "maker's own format"),
            ("consolidated.00.pth", "maker's own format"),
            ("checkpoint-500/config.json", "checkpoint-500"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "{}").unwrap();
            let message = checkpoint(root.path()).unwrap_err().to_string();
            assert!(message.contains(parts), "{message}");
            fs::write(root.path().join("config.json"), "{}").unwrap();
            assert!(checkpoint(root.path()).is_ok(), "{file}");
        }
        let root = tempfile::tempdir().unwrap();
        assert!(checkpoint(root.path()).is_ok(), "its config.json is missing, which is said later");
    }

    #[test]
    fn a_sampler_layer_by_itself_is_told() {
        let fixtures = conjoint_models::fixtures();
        let message = checkpoint(&fixtures.join("adjust-dream-tiny")).unwrap_err().to_string();
        assert!(message.contains("sampler layer by itself"), "{message}");
    }
}
