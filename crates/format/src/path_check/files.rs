//! Detection of placeholders in a checkpoint: dangling links, and pointers of Git LFS.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::entries::{has_extension, names, not_a_checkpoint};
use crate::error::FormatError;
use crate::names::COMPANIONS;

/// The first bytes of every pointer of Git LFS.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Rejects a folder in which a file of the checkpoint is a dangling link or a pointer of Git LFS.
pub(super) fn reject_placeholders(folder: &Path) -> Result<(), FormatError> {
    let is_checkpoint_file = |name: &String| {
        let path = Path::new(name);
        let is_weights = ["safetensors", "bin"].iter().any(|end| has_extension(path, end));
        is_weights || COMPANIONS.contains(&name.as_str())
    };
    for name in names(folder).iter().filter(|name| is_checkpoint_file(name)) {
        let path = folder.join(name);
        if let Some(error) = dangling(&path) {
            return Err(error);
        }
        if is_pointer(&path) {
            let reason = "this is a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder, or fetch the \
                          model with `hf download`";
            return Err(not_a_checkpoint(&path, reason.into()));
        }
    }
    Ok(())
}

/// The error of a dangling symbolic link; `None` for every other path.
pub(crate) fn dangling(path: &Path) -> Option<FormatError> {
    let target = fs::read_link(path).ok().filter(|_| !path.exists())?;
    let is_cache_link = target.components().any(|part| part.as_os_str() == "blobs");
    let remedy = match is_cache_link {
        true => {
            "a snapshot of the Hugging Face Hub's cache was moved or copied without its blobs. Copy it with its links followed \
             (`cp -rL`), or fetch the model with `hf download --local-dir`"
        }
        false => "restore that file, or remove the link",
    };
    let reason = format!("this link leads to {}, which does not exist: {remedy}", target.display());
    Some(not_a_checkpoint(path, reason))
}

/// Whether a file is a pointer of Git LFS.
fn is_pointer(path: &Path) -> bool {
    let mut start = [0; POINTER.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == POINTER
}
