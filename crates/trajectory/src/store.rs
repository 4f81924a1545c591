//! A folder of trajectories: its settings, and files of consecutive indices.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::settings::{FolderSettings, SETTINGS, hex, temporary_file};
use crate::shard;
use crate::trajectory::Trajectory;

/// The version of the format: file names, columns, and how trajectories follow from settings.
const FORMAT: u32 = 1;

/// A folder of trajectories with equal settings.
///
/// `_settings.json` holds the settings, and `trajectories-FIRST-END-CHECKSUM.parquet` the trajectories FIRST..END. Files
/// are written under a temporary name and then renamed, and the checksum detects damage.
///
/// Any number of processes may write into a folder. A trajectory depends only on the settings and its index, so that files
/// with overlapping ranges hold equal rows if they were made on devices that round alike.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    settings: FolderSettings,
}

impl Store {
    /// Creates a folder with these settings, or opens one that has the same settings.
    ///
    /// # Errors
    /// [`Error::OtherSetting`] names the first setting that differs; [`Error::Io`].
    pub fn claim(folder: impl Into<PathBuf>, settings: FolderSettings) -> Result<Self, Error> {
        let (folder, settings) = (folder.into(), settings.with("format", FORMAT));
        settings.claim(&folder)?;
        Ok(Self { folder, settings })
    }

    /// Opens an existing folder, with any settings.
    ///
    /// # Errors
    /// [`Error::Foreign`] if it has no settings, [`Error::OtherSetting`] if this version does not support its format, and
    /// [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        let settings = FolderSettings::read(&folder)?;
        settings.clone().with("format", FORMAT).expect(&settings, &folder.join(SETTINGS))?;
        Ok(Self { folder, settings })
    }

    /// The settings of the trajectories.
    pub fn settings(&self) -> &FolderSettings {
        &self.settings
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the first `count` trajectories, or all of them.
    ///
    /// # Errors
    /// [`Error::Missing`] names the first gap, [`Error::Malformed`] a file whose content does not match its name,
    /// [`Error::OtherSetting`] a file with other settings; [`Error::Io`].
    pub fn read(&self, count: Option<u64>) -> Result<Vec<Trajectory>, Error> {
        let files = self.files()?;
        let last = files.iter().map(|file| file.indices.end).max().unwrap_or(0);
        let count = count.unwrap_or(last.max(1));
        if let Some(gap) = gaps(&files, count).into_iter().next() {
            return Err(Error::Missing { folder: self.folder.clone(), indices: gap });
        }
        let mut all: Vec<Trajectory> = Vec::new();
        for file in files.iter().filter(|file| file.indices.start < count) {
            let next = all.len() as u64;
            if file.indices.end > next {
                all.extend(self.load(file)?.into_iter().filter(|row| row.index >= next));
            }
        }
        all.truncate(count as usize);
        Ok(all)
    }

    /// Returns the indices below `count` that no file holds. Reads every file, so that damage is reported before the long
    /// work on the others.
    ///
    /// # Errors
    /// As [`read`](Self::read), except for gaps.
    pub(crate) fn missing(&self, count: u64) -> Result<Vec<Range<u64>>, Error> {
        let files = self.files()?;
        files.iter().try_for_each(|file| self.load(file).map(drop))?;
        Ok(gaps(&files, count))
    }

    /// Writes a file of the trajectories of these indices.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write(&self, indices: Range<u64>, rows: &[Trajectory]) -> Result<(), Error> {
        let failed = |error| Error::io("write trajectories into", &self.folder)(error);
        let bytes = shard::write(rows, &self.settings)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let name = Name { indices, checksum: hex(Sha256::new_with_prefix(&bytes)) };
        let mut file = temporary_file(&self.folder)?;
        file.write_all(&bytes).map_err(failed)?;
        // The content must reach the disk before the name.
        file.as_file().sync_all().map_err(failed)?;
        file.persist(self.folder.join(name.to_string())).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Reads the rows of a file, and checks them against its name.
    fn load(&self, name: &Name) -> Result<Vec<Trajectory>, Error> {
        let path = self.folder.join(name.to_string());
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        if hex(Sha256::new_with_prefix(&bytes)) != name.checksum {
            let reason = "it is damaged: its checksum differs from that in its name";
            return Err(Error::malformed(path, reason));
        }
        let (settings, rows) =
            shard::read(bytes).map_err(|error| Error::malformed(&path, error))?;
        self.settings.expect(&settings, &path)?;
        if !rows.iter().map(|row| row.index).eq(name.indices.clone()) {
            let reason = "its trajectories differ from the range in its name";
            return Err(Error::malformed(path, reason));
        }
        match rows.iter().find_map(|row| row.fault().map(|fault| (row.index, fault))) {
            Some((index, fault)) => {
                Err(Error::malformed(path, format!("trajectory {index}: {fault}")))
            }
            None => Ok(rows),
        }
    }

    /// The names of the files, sorted by index.
    fn files(&self) -> Result<Vec<Name>, Error> {
        let failed = || Error::io("read", &self.folder);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            files.extend(name.to_str().and_then(Name::parse));
        }
        files.sort_unstable_by_key(|file| (file.indices.start, file.indices.end));
        Ok(files)
    }
}

/// The parsed name of a file.
struct Name {
    indices: Range<u64>,
    checksum: String,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let parts = name.strip_prefix("trajectories-")?.strip_suffix(".parquet")?;
        let [start, end, checksum] = parts.split('-').collect::<Vec<_>>().try_into().ok()?;
        let indices = start.parse().ok()?..end.parse().ok()?;
        let read = Self { indices, checksum: checksum.to_owned() };
        // Only names in the canonical form belong to the format.
        (!read.indices.is_empty() && read.to_string() == name).then_some(read)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { indices: Range { start, end }, checksum } = self;
        write!(f, "trajectories-{start:09}-{end:09}-{checksum}.parquet")
    }
}

/// The parts of 0..count that these files, in ascending order, do not cover.
fn gaps(files: &[Name], count: u64) -> Vec<Range<u64>> {
    let (mut gaps, mut next) = (Vec::new(), 0);
    for Name { indices, .. } in files {
        gaps.push(next..indices.start.min(count));
        next = next.max(indices.end);
    }
    gaps.push(next..count);
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::claim(folder.path(), FolderSettings::default()).unwrap();
        let rows = [0, 1].map(|index| Trajectory {
            index,
            prompt_len: 1,
            tokens: vec![3, 1, 2],
            order: vec![2, 1],
        });
        store.write(0..2, &rows).unwrap();
        assert_eq!(store.read(None).unwrap(), rows);
        let path = folder.path().join(store.files().unwrap()[0].to_string());
        let whole = std::fs::read(&path).unwrap();
        let flipped = (0..whole.len()).map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        });
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        for bytes in flipped.chain(cut) {
            std::fs::write(&path, bytes).unwrap();
            let error = store.read(None).unwrap_err();
            assert!(matches!(&error, Error::Malformed { path: at, .. } if *at == path), "{error}");
        }
    }

    #[test]
    fn file_names_round_trip() {
        let name = Name { indices: 128..1_000_000_000_000, checksum: "0f".into() };
        let text = "trajectories-000000128-1000000000000-0f.parquet";
        assert_eq!(name.to_string(), text);
        assert_eq!(Name::parse(text).unwrap().indices, name.indices);
        for other in [
            "trajectories-128-256-0f.parquet",
            "trajectories-000000128-000000128-0f.parquet",
            "trajectories-000000128-000000256.parquet",
            "x.parquet",
        ] {
            assert!(Name::parse(other).is_none(), "{other}");
        }
    }
}
