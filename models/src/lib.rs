//! Small models for the examples and the tests of `conjoint`: the files, and the paths to them.
//!
//! | function | folder | what it holds |
//! |---|---|---|
//! | [`tiny`] | `tiny` | a trained character-level diffusion language model with a trained sampler layer, 4.1 MB |
//! | [`fixture`] | `fixtures/NAME` | a small random checkpoint with logits of its reference implementation, under 250 kB |
//!
//! ```
//! let folder = conjoint_models::tiny();
//! assert!(folder.join("conjoint.json").is_file());
//! ```
//!
//! `conjoint` opens the folder:
//!
//! ```text
//! let model = OnnxDenoiser::open(conjoint_models::tiny(), ExecutionProvider::Cpu)?;
//! ```
//!
//! The paths lead into the sources of this crate, as Cargo unpacked them. A program that moves to another machine needs
//! a copy of the folder there.

use std::path::{Path, PathBuf};

/// The folder of the trained model, as `conjoint export` writes one: graphs, weights, tokenizer and `conjoint.json`.
///
/// Its texts start with a tag: `<story>`, `<math>`, `<code>` or `<list>`. A sequence has at most 48 positions.
/// `tiny/README.md` is its model card.
pub fn tiny() -> PathBuf {
    package().join("tiny")
}

/// The folder of all fixtures. Its `README.md` says how each reference was computed.
pub fn fixtures() -> PathBuf {
    // Git without support for symbolic links checks out a file instead of the link.
    let [linked, original] = ["fixtures", "../tests/fixtures"].map(|folder| package().join(folder));
    if linked.is_dir() { linked } else { original }
}

/// A file or folder among the [`fixtures`], such as `dream-tiny`.
///
/// # Panics
/// If it does not exist.
pub fn fixture(name: &str) -> PathBuf {
    let path = fixtures().join(name);
    assert!(path.exists(), "no fixture `{name}` in {}", fixtures().display());
    path
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_and_its_sampler_layer_are_complete() {
        let files = [
            "backbone.onnx",
            "head.onnx",
            "sampler-context.onnx",
            "sampler-rows.onnx",
            "config.json",
            "conjoint.json",
            "tokenizer.json",
            "model.safetensors",
            "sampler.safetensors",
        ];
        for file in files {
            assert!(tiny().join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn every_fixture_has_reference_values() {
        let folders = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
        let folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
        assert!(folders.len() >= 10, "{folders:?}");
        for folder in folders {
            assert!(folder.join("reference.safetensors").is_file(), "{}", folder.display());
        }
        assert!(fixture("decode_cases.json").is_file());
    }

    #[test]
    #[should_panic(expected = "no fixture `missing`")]
    fn a_missing_fixture_is_named() {
        fixture("missing");
    }
}
