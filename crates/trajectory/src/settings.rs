//! The settings that trajectories depend on.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use conjoint_core::TokenId;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The file of a folder's settings. Readers of Parquet folders ignore names that begin with `_`.
pub(crate) const SETTINGS: &str = "_settings.json";

/// The name of the block length.
const BLOCK_LENGTH: &str = "block length";

/// Names and values of all settings that trajectories depend on: the model, the prompts, the filters, the seed. Batches,
/// files and processes are not included: they do not change any trajectory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderSettings(BTreeMap<String, String>);

impl FolderSettings {
    /// Adds a setting, or replaces its value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// Returns the value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The block length of trajectories in blocks; `None` for one block.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the setting is not a number.
    pub fn block_length(&self) -> Result<Option<usize>, Error> {
        let parse = |value: &str| {
            let bad = |_| Error::parameter(BLOCK_LENGTH, value, "a number of positions");
            value.parse().map_err(bad)
        };
        self.get(BLOCK_LENGTH).map(parse).transpose()
    }

    /// Adds the block length. One block adds no setting, so that folders of earlier versions can be resumed.
    #[must_use]
    pub(crate) fn with_block_length(self, length: Option<usize>) -> Self {
        match length {
            None => self,
            Some(length) => self.with(BLOCK_LENGTH, length),
        }
    }

    /// Iterates over names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Checks that `found`, read from `path`, equals these settings.
    ///
    /// # Errors
    /// [`Error::OtherSetting`] names the first setting that differs.
    pub(crate) fn expect(&self, found: &Self, path: &Path) -> Result<(), Error> {
        let names = self.0.keys().chain(found.0.keys());
        let Some(name) = names.into_iter().find(|name| self.get(name) != found.get(name)) else {
            return Ok(());
        };
        let value = |settings: &Self| settings.get(name).unwrap_or("none").to_owned();
        let (old, new) = (value(found), value(self));
        Err(Error::OtherSetting { path: path.to_owned(), name: name.clone(), old, new })
    }

    /// Creates `folder` with these settings, or checks that it has them. If several processes do so concurrently, one of
    /// them creates it.
    pub(crate) fn claim(&self, folder: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(SETTINGS);
        if !path.exists() {
            let json = serde_json::to_string_pretty(&self.0);
            let json = json.map_err(|e| Error::io("write", &path)(e.into()))? + "\n";
            let mut file = temporary_file(folder)?;
            file.write_all(json.as_bytes()).map_err(Error::io("write", &path))?;
            match file.persist_noclobber(&path) {
                Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("write", &path)(error.error));
                }
                _ => {}
            }
        }
        self.expect(&Self::read(folder)?, &path)
    }

    /// Reads the settings of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(SETTINGS);
        let json = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Foreign { folder: folder.to_owned() });
            }
            json => json.map_err(Error::io("read", &path))?,
        };
        serde_json::from_slice(&json).map(Self).map_err(|e| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, e);
            Error::Io { action: "read", path, source }
        })
    }
}

impl<N: Into<String>, V: ToString> FromIterator<(N, V)> for FolderSettings {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        entries.into_iter().fold(Self::default(), |all, (name, value)| all.with(name, value))
    }
}

/// A temporary file in a folder, to be renamed once it is complete. Readers ignore names that begin with a dot.
pub(crate) fn temporary_file(folder: &Path) -> Result<tempfile::NamedTempFile, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".unfinished-");
    // Temporary files are private by default, and these become ordinary files.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder).map_err(Error::io("create a file in", folder))
}

/// The first 16 hexadecimal digits of a checksum.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a checksum of a list of sequences, which identifies the list.
pub fn digest<'a>(sequences: impl IntoIterator<Item = &'a [TokenId]>) -> String {
    let mut hash = Sha256::new();
    for sequence in sequences {
        hash.update((sequence.len() as u64).to_le_bytes());
        sequence.iter().for_each(|token| hash.update(token.to_le_bytes()));
    }
    format!("sha256 {}…", hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_settings_are_rejected_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let with = |seed: u64| FolderSettings::from_iter([("length", 4), ("seed", seed)]);
        let foreign = FolderSettings::read(folder.path()).unwrap_err();
        assert!(matches!(foreign, Error::Foreign { .. }) && foreign.to_string().contains(SETTINGS));
        with(1).claim(folder.path()).unwrap();
        with(1).claim(folder.path()).unwrap();
        assert_eq!(FolderSettings::read(folder.path()).unwrap(), with(1));
        let error = with(2).claim(folder.path()).unwrap_err().to_string();
        for part in ["seed = 1", "but 2", "another folder", SETTINGS] {
            assert!(error.contains(part), "{error}");
        }
        let fewer = FolderSettings::from_iter([("length", 4)]).claim(folder.path());
        assert!(fewer.unwrap_err().to_string().contains("none is given"));
    }

    #[test]
    fn one_of_several_concurrent_claims_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let claim = |seed: u64| FolderSettings::from_iter([("seed", seed)]).claim(folder.path());
        let won: Vec<bool> = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..16).map(|seed| scope.spawn(move || claim(seed))).collect();
            claims.into_iter().map(|claim| claim.join().unwrap().is_ok()).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }

    #[test]
    fn digests_of_different_lists_differ() {
        let of = |sequences: &[&[TokenId]]| digest(sequences.iter().copied());
        assert_eq!(of(&[&[1, 2], &[3]]), of(&[&[1, 2], &[3]]));
        for other in [&[&[1][..], &[2, 3]][..], &[&[1, 2, 3]], &[&[1, 2], &[4]], &[&[3], &[1, 2]]] {
            assert_ne!(of(&[&[1, 2], &[3]]), of(other));
        }
    }
}
