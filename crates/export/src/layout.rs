//! The names of weight files in the output folder.
//!
//! ONNX Runtime rejects external data outside the model's folder, with symbolic links resolved. So a file that
//! lies elsewhere, such as in the Hugging Face Hub's cache, is hard-linked into the folder.

use std::fs;
use std::path::{Path, PathBuf};

use conjoint_format::checkpoint::Tensor;
use conjoint_format::names::{CONVERTED, SINGLE, WEIGHTS};

use crate::error::ExportError;
use crate::exported_files::ExportedFiles;
use crate::staging::{Existing, Staging, Transfer};
use crate::store::{Store, Stored};

/// The folders of an export.
#[derive(Debug)]
pub(crate) struct Layout {
    checkpoint: PathBuf,
    pub(crate) out: PathBuf,
    /// Whether the output folder is the checkpoint's own.
    pub(crate) in_place: bool,
    /// The temporary path of weights converted by this export.
    converted: Option<PathBuf>,
}

/// The origin of a weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The output folder itself.
    Output,
    /// Conversion of the base model's pickled weights.
    Converted,
    /// The base model's folder.
    Base,
    /// The sampler layer's folder.
    Sampler,
}

impl Layout {
    pub(crate) fn new(checkpoint: &Path, out: Option<&Path>) -> Self {
        let checkpoint = resolved(checkpoint);
        let out = out.map_or(checkpoint.clone(), resolved);
        let in_place = checkpoint == out;
        Self { checkpoint, out, in_place, converted: None }
    }

    /// Name of converted weights in the output folder.
    pub(crate) fn converted_name(&self) -> &'static str {
        if self.in_place { CONVERTED } else { SINGLE }
    }

    /// Sets the temporary path of converted weights.
    pub(crate) fn set_converted(&mut self, temporary: PathBuf) {
        self.converted = Some(temporary);
    }

    /// Removes converted weights that only were the source of quantised ones.
    pub(crate) fn discard_converted(&self, staging: &mut Staging) {
        if let Some(converted) = &self.converted {
            staging.discard(converted);
        }
    }

    fn origin(&self, file: &Path) -> Origin {
        if self.converted.as_deref() == Some(file) {
            return Origin::Converted;
        }
        let folder = file.parent().map(resolved).unwrap_or_default();
        if folder == self.out && resolved(file).starts_with(&self.out) {
            Origin::Output
        } else if folder == self.checkpoint {
            Origin::Base
        } else {
            Origin::Sampler
        }
    }

    /// A weight file's path relative to the output folder.
    pub(crate) fn location(&self, file: &Path) -> String {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match self.origin(file) {
            Origin::Converted => self.converted_name().into(),
            // The symbolic link that leads out of the folder has the name itself.
            Origin::Base if self.in_place => format!("{WEIGHTS}/{name}"),
            Origin::Base | Origin::Output => name.into(),
            // model.safetensors → sampler.safetensors, and likewise for shards.
            Origin::Sampler => format!("sampler{}", name.strip_prefix("model").unwrap_or(&name)),
        }
    }

    /// Transfers a weight file to the place where graphs expect it. May replace a file of an earlier export.
    /// Returns whether the file was transferred: not if the folder has it already.
    pub(crate) fn transfer(
        &self,
        staging: &mut Staging,
        file: &Path,
        earlier: &ExportedFiles,
    ) -> Result<bool, ExportError> {
        let name = self.location(file);
        let (transfer, existing) = match self.origin(file) {
            Origin::Output => return Ok(false),
            Origin::Converted => {
                let existing =
                    if self.in_place { Existing::Replace } else { earlier.existing(&name) };
                return staging.discard_unchanged(file, existing);
            }
            // An export in place never makes a second copy of the weights.
            Origin::Base if self.in_place => (Transfer::Link, Existing::Replace),
            Origin::Base => (Transfer::LinkOrCopy, earlier.existing(&name)),
            Origin::Sampler => (Transfer::LinkOrCopy, Existing::Replace),
        };
        staging.transfer(file, &name, transfer, existing)
    }
}

/// Graphs point into the checkpoint's own files.
impl Store for Layout {
    fn tensor(&self, tensor: &Tensor) -> Stored {
        Stored::of(tensor, self.location(&tensor.file))
    }
}

/// A path with its symbolic links resolved, if it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoints_files_keep_their_names_and_a_samplers_are_renamed() {
        let root = tempfile::tempdir().unwrap();
        let [base, sampler, out] = ["base", "sampler", "out"].map(|name| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("model.safetensors"), "").unwrap();
            folder
        });
        let file = |folder: &Path, name: &str| folder.join(name);
        let in_place = Layout::new(&base, None);
        assert_eq!(in_place.location(&file(&base, "model.safetensors")), "model.safetensors");
        assert_eq!(in_place.location(&file(&sampler, "model.safetensors")), "sampler.safetensors");
        let shard = "model-00001-of-00002.safetensors";
        let renamed = "sampler-00001-of-00002.safetensors";
        assert_eq!(in_place.location(&file(&sampler, shard)), renamed);
        let elsewhere = Layout::new(&base, Some(&out));
        assert_eq!(elsewhere.location(&file(&base, shard)), shard);
        assert_eq!(elsewhere.location(&file(&sampler, shard)), renamed);
    }

    #[test]
    fn the_checkpoints_folder_is_recognised_under_another_path() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("base");
        fs::create_dir(&base).unwrap();
        assert!(Layout::new(&base, Some(&root.path().join("base/../base"))).in_place);
        assert!(!Layout::new(&base, Some(root.path())).in_place);
    }
}
