//! Files that an export brought into its folder from elsewhere: a later export may replace and remove them.
//!
//! A file in the output folder is the user's unless the manifest beside it says that an export put it there, and it still is what
//! the export put there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use crate::error::ExportError;
use crate::folder::Existing;
use crate::layout::WEIGHTS;
use crate::manifest::Manifest;
use crate::weight_file::WeightFile;

/// Files by their names in the folder, each with its checksum.
#[derive(Debug, Default)]
pub(crate) struct Brought(BTreeMap<String, String>);

impl Brought {
    /// What an earlier export brought into this folder, as far as it is still the same.
    pub(crate) fn earlier(folder: &Path) -> Self {
        let brought = Manifest::read_now(folder).map(|manifest| manifest.provenance.brought);
        let is_same =
            |name: &str, sum: &str| checksum(&folder.join(name)).is_ok_and(|now| now == sum);
        let same = |(name, sum): &(String, String)| is_inside(name) && is_same(name, sum);
        Self(brought.unwrap_or_default().into_iter().filter(same).collect())
    }

    /// What may be done with a file of this name that is in the way.
    pub(crate) fn existing(&self, name: &str) -> Existing {
        if self.0.contains_key(name) { Existing::Replace } else { Existing::MustEqual }
    }

    /// Takes the files that the export still uses, and leaves those that it does not.
    pub(crate) fn take_used(&mut self, is_used: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let (used, stale) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| is_used(name));
        self.0 = stale;
        used
    }

    /// Removes the files.
    pub(crate) fn remove(&self, folder: &Path) {
        for name in self.0.keys() {
            let _ = fs::remove_file(folder.join(name));
        }
        let _ = fs::remove_dir(folder.join(WEIGHTS)); // if it is empty now
    }
}

/// SHA-256 of a file, or of a weight file's header and samples.
pub(crate) fn checksum(path: &Path) -> Result<String, ExportError> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        return Ok(WeightFile::of(path, String::new())?.sha256);
    }
    let mut sum = Sha256::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut sum));
    read.map_err(ExportError::io("read", path))?;
    Ok(format!("{:x}", sum.finalize()))
}

/// Whether a name from a file leads into the folder, or into its folder of weights.
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
    fn names_that_lead_out_of_the_folder_are_no_ones() {
        for name in ["config.json", "weights/model.safetensors"] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["", "..", "../a", "/a", "weights/../a", "other/a", "weights/a/b"] {
            assert!(!is_inside(name), "{name}");
        }
    }
}
