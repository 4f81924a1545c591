//! Which name every weight file has in the output folder.
//!
//! ONNX Runtime refuses external data outside the model's folder, symbolic links resolved, so a
//! file that lies elsewhere, such as in the cache of the Hugging Face hub, is linked into it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::brought::Brought;
use crate::checkpoint::{SINGLE, Tensor};
use crate::error::ExportError;
use crate::folder::{Existing, Staging, Transfer};
use crate::store::{Store, Stored};

/// Folder of links to weights that lie elsewhere, in an export beside its checkpoint.
pub(crate) const WEIGHTS: &str = "weights";

/// The folders of an export.
#[derive(Debug)]
pub(crate) struct Layout {
    checkpoint: PathBuf,
    pub(crate) out: PathBuf,
    /// The graphs go beside the checkpoint's own files.
    pub(crate) in_place: bool,
    /// The temporary name of weights that were made for this export, if any were.
    made: Option<PathBuf>,
}

/// Where weights go that were made of pickled ones, where the checkpoint's own folder is also the output folder: as
/// `model.safetensors` they would be in the way of weights of later on.
pub(crate) const CONVERTED: &str = "weights/model.safetensors";

/// What a weight file is to the output folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Its own file already.
    Home,
    /// Made of the base model's.
    Made,
    /// The base model's.
    Base,
    /// The sampler layer's.
    Sampler,
}

impl Layout {
    pub(crate) fn new(checkpoint: &Path, out: Option<&Path>) -> Self {
        let checkpoint = resolved(checkpoint);
        let out = out.map_or(checkpoint.clone(), resolved);
        let in_place = checkpoint == out;
        Self { checkpoint, out, in_place, made: None }
    }

    /// Name of weights that are made of pickled ones.
    pub(crate) fn converted(&self) -> &'static str {
        if self.in_place { CONVERTED } else { SINGLE }
    }

    /// Notes where weights lie that were made, until they get their name.
    pub(crate) fn made(&mut self, temporary: PathBuf) {
        self.made = Some(temporary);
    }

    /// Leaves out weights that were made, where others were made of them.
    pub(crate) fn discard(&self, staging: &mut Staging) {
        if let Some(made) = &self.made {
            staging.discard(made);
        }
    }

    fn origin(&self, file: &Path) -> Origin {
        if self.made.as_deref() == Some(file) {
            return Origin::Made;
        }
        let folder = file.parent().map(resolved).unwrap_or_default();
        if folder == self.out && resolved(file).starts_with(&self.out) {
            Origin::Home
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
            Origin::Made => self.converted().into(),
            // The name itself is taken by the symbolic link that leads out of the folder.
            Origin::Base if self.in_place => format!("{WEIGHTS}/{name}"),
            Origin::Base | Origin::Home => name.into(),
            // model.safetensors → sampler.safetensors, and shards alike.
            Origin::Sampler => format!("sampler{}", name.strip_prefix("model").unwrap_or(&name)),
        }
    }

    /// Puts a weight file where the graphs look for it, in place of one that an earlier export brought; whether it was not there
    /// already.
    pub(crate) fn bring(
        &self,
        staging: &mut Staging,
        file: &Path,
        earlier: &Brought,
    ) -> Result<bool, ExportError> {
        let name = self.location(file);
        let (transfer, existing) = match self.origin(file) {
            Origin::Home => return Ok(false),
            Origin::Made => {
                let existing =
                    if self.in_place { Existing::Replace } else { earlier.existing(&name) };
                return staging.settle(file, existing);
            }
            // In place nobody asked for a second copy of the weights.
            Origin::Base if self.in_place => (Transfer::Link, Existing::Replace),
            Origin::Base => (Transfer::LinkOrCopy, earlier.existing(&name)),
            Origin::Sampler => (Transfer::LinkOrCopy, Existing::Replace),
        };
        staging.bring(file, &name, transfer, existing)
    }
}

/// Every tensor in its checkpoint's own file.
impl Store for Layout {
    fn tensor(&self, tensor: &Tensor) -> Stored {
        Stored::of(tensor, self.location(&tensor.file))
    }
}

/// A path with its symbolic links resolved, as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoints_own_files_stay_and_a_samplers_are_renamed() {
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
    fn a_folder_is_recognised_under_another_name() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("base");
        fs::create_dir(&base).unwrap();
        assert!(Layout::new(&base, Some(&root.path().join("base/../base"))).in_place);
        assert!(!Layout::new(&base, Some(root.path())).in_place);
    }
}
