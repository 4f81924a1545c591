//! Files that an export put into its folder. A later export may replace and remove them.
//!
//! A file in the output folder belongs to an export if the manifest lists it and it has not changed since. All
//! other files belong to the user.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use conjoint_format::names::WEIGHTS;
use conjoint_format::{FormatError, Manifest, WeightFile};

use crate::staging::Existing;

/// Files of an export by their names in the folder, each with its checksum.
#[derive(Debug, Default)]
pub(crate) struct ExportedFiles(BTreeMap<String, String>);

impl ExportedFiles {
    /// The files of an earlier export into this folder that have not changed since.
    pub(crate) fn earlier(folder: &Path) -> Self {
        let files = Manifest::read_now(folder).map(|manifest| manifest.provenance.exported_files);
        let is_unchanged =
            |name: &str, sum: &str| checksum(&folder.join(name)).is_ok_and(|now| now == sum);
        let own = |(name, sum): &(String, String)| is_inside(name) && is_unchanged(name, sum);
        Self(files.unwrap_or_default().into_iter().filter(own).collect())
    }

    /// How to treat an existing file of this name.
    pub(crate) fn existing(&self, name: &str) -> Existing {
        if self.0.contains_key(name) { Existing::Replace } else { Existing::MustEqual }
    }

    /// Takes the files that the new export uses. The others remain.
    pub(crate) fn take_used(&mut self, is_used: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let (used, stale) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| is_used(name));
        self.0 = stale;
        used
    }

    /// Deletes the files.
    pub(crate) fn remove(&self, folder: &Path) {
        for name in self.0.keys() {
            let _ = fs::remove_file(folder.join(name));
        }
        let _ = fs::remove_dir(folder.join(WEIGHTS)); // if it is empty
    }
}

/// SHA-256 of a file, or of a weight file's header and samples.
pub(crate) fn checksum(path: &Path) -> Result<String, FormatError> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        return Ok(WeightFile::of(path, String::new())?.sha256);
    }
    let mut sum = Sha256::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut sum));
    read.map_err(FormatError::io("read", path))?;
    Ok(format!("{:x}", sum.finalize()))
}

/// Whether a name from a manifest leads into the folder or its folder of weights.
fn is_inside(name: &str) -> bool {
    let parts: Vec<_> = Path::new(name).components().collect();
    match parts[..] {
        [Component::Normal(_)] => true,
        [Component::Normal(folder), Component::Normal(_)] => folder == WEIGHTS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_folder_are_rejected() {
        for name in ["config.json", "weights/model.safetensors"] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["", "..", "../a", "/a", "weights/../a", "other/a", "weights/a/b"] {
            assert!(!is_inside(name), "{name}");
        }
    }
}
