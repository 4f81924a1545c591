//! Files of a checkpoint that are only named there: links that lead nowhere, and pointers of Git LFS.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::{has_extension, names, not};
use crate::error::ExportError;
use crate::export::COMPANIONS;

/// What every pointer of Git LFS begins with.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Rejects a folder in which a file of the checkpoint is a link that leads nowhere, or a pointer of Git LFS.
pub(super) fn reject_absent(folder: &Path) -> Result<(), ExportError> {
    let of_checkpoint = |name: &String| {
        let path = Path::new(name);
        let of_weights = ["safetensors", "bin"].iter().any(|end| has_extension(path, end));
        of_weights || COMPANIONS.contains(&name.as_str())
    };
    for name in names(folder).iter().filter(|name| of_checkpoint(name)) {
        let path = folder.join(name);
        if let Some(error) = dangling(&path) {
            return Err(error);
        }
        if is_pointer(&path) {
            let reason = "this is a pointer of Git LFS, not the file itself: run `git lfs pull` in its folder, or fetch the \
                          model with `hf download`";
            return Err(not(&path, reason.into()));
        }
    }
    Ok(())
}

/// The error of a symbolic link that leads nowhere; none for all else.
pub(crate) fn dangling(path: &Path) -> Option<ExportError> {
    let target = fs::read_link(path).ok().filter(|_| !path.exists())?;
    let of_cache = target.components().any(|part| part.as_os_str() == "blobs");
    let remedy = match of_cache {
        true => {
            "a snapshot of the Hugging Face Hub's cache was moved or copied without its blobs. Copy it with its links followed \
             (`cp -rL`), or fetch the model with `hf download --local-dir`"
        }
        false => "restore that file, or remove the link",
    };
    let reason =
        format!("this link leads to {}, where there is nothing: {remedy}", target.display());
    Some(not(path, reason))
}

/// Whether a file is a pointer of Git LFS.
fn is_pointer(path: &Path) -> bool {
    let mut start = [0; POINTER.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == POINTER
}

#[cfg(test)]
mod tests {
    use crate::sniff::checkpoint;

    use super::*;

    #[test]
    fn pointers_of_git_lfs_are_told_in_every_file() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n";
        for name in [
            "config.json",
            "tokenizer.json",
            "pytorch_model.bin",
            "model.safetensors",
            "model-00001-of-00002.safetensors",
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("config.json"), "{}").unwrap();
            assert!(checkpoint(root.path()).is_ok());
            fs::write(root.path().join(name), pointer).unwrap();
            let message = checkpoint(root.path()).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("git lfs pull"), "{message}");
        }
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("config.json"), "{}").unwrap();
        fs::write(root.path().join("README.md"), pointer).unwrap();
        assert!(checkpoint(root.path()).is_ok(), "files of no concern are not looked at");
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_are_told_with_what_to_do() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        symlink("../../blobs/abc", path("config.json")).unwrap();
        let message = checkpoint(root.path()).unwrap_err().to_string();
        assert!(message.contains("config.json") && message.contains("cp -rL"), "{message}");
        fs::remove_file(path("config.json")).unwrap();
        fs::write(path("config.json"), "{}").unwrap();
        symlink("/no/such/file", path("model.safetensors")).unwrap();
        let message = checkpoint(root.path()).unwrap_err().to_string();
        assert!(
            message.contains("/no/such/file") && message.contains("remove the link"),
            "{message}"
        );
        // The folder itself.
        symlink("/no/such/folder", path("linked")).unwrap();
        let message = checkpoint(&path("linked")).unwrap_err().to_string();
        assert!(message.contains("/no/such/folder"), "{message}");
    }
}
