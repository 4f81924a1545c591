//! A folder of trajectories: its settings, and files of consecutive indices.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::settings::{SETTINGS, aside};
use crate::{Error, Settings, Trajectory, shard};

/// The version of all that a folder holds: names, columns, and how trajectories follow from settings.
const FORMAT: u32 = 1;

/// A folder of trajectories that were all made with the same settings.
///
/// `_settings.json` holds the settings, `trajectories-FIRST-END.parquet` the trajectories FIRST..END. A
/// file is written aside and renamed, so that whatever bears such a name is whole, and any number
/// of processes may write into one folder: a trajectory depends on nothing but the settings and its index, so
/// that two files that overlap hold the same rows.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    settings: Settings,
}

impl Store {
    /// Begins a folder with these settings, or goes on with one that was begun with the same.
    ///
    /// # Errors
    /// [`Error::OtherSetting`] names the first setting that differs; [`Error::Io`].
    pub fn claim(folder: impl Into<PathBuf>, settings: Settings) -> Result<Self, Error> {
        let (folder, settings) = (folder.into(), settings.with("format", FORMAT));
        settings.claim(&folder)?;
        Ok(Self { folder, settings })
    }

    /// Opens a folder that is there, whatever it was made with.
    ///
    /// # Errors
    /// [`Error::Foreign`] if it has no settings, [`Error::OtherSetting`] if its format is another than this
    /// version's, and [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        let settings = Settings::read(&folder)?;
        settings.clone().with("format", FORMAT).expect(&settings, &folder.join(SETTINGS))?;
        Ok(Self { folder, settings })
    }

    /// What the trajectories were made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first `count` trajectories, or all that there are.
    ///
    /// # Errors
    /// [`Error::Missing`] names the first gap; [`Error::Malformed`] names a file that does not hold what
    /// its name says, [`Error::OtherSetting`] one that was made with other settings; [`Error::Io`].
    pub fn read(&self, count: Option<u64>) -> Result<Vec<Trajectory>, Error> {
        let files = self.files()?;
        let last = files.iter().map(|indices| indices.end).max().unwrap_or(0);
        let count = count.unwrap_or(last.max(1));
        if let Some(gap) = gaps(&files, count).into_iter().next() {
            return Err(Error::Missing { folder: self.folder.clone(), indices: gap });
        }
        let mut all: Vec<Trajectory> = Vec::new();
        for indices in files.iter().filter(|indices| indices.start < count) {
            let next = all.len() as u64;
            if indices.end > next {
                all.extend(self.load(indices)?.into_iter().filter(|row| row.index >= next));
            }
        }
        all.truncate(count as usize);
        Ok(all)
    }

    /// The indices below `count` that no file holds. Every file is read, so that a damaged one is found
    /// before hours are spent on the others.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for gaps.
    pub(crate) fn missing(&self, count: u64) -> Result<Vec<Range<u64>>, Error> {
        let files = self.files()?;
        files.iter().try_for_each(|indices| self.load(indices).map(drop))?;
        Ok(gaps(&files, count))
    }

    /// Writes a file of trajectories with consecutive indices.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write(&self, indices: &Range<u64>, rows: &[Trajectory]) -> Result<(), Error> {
        let path = self.path(indices);
        let failed = |error| Error::io("write", &path)(error);
        let file = aside(&self.folder)?;
        shard::write(file.as_file(), rows, &self.settings)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        // The name must not reach the disk before the content.
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The rows of a file, which must be what its name says.
    fn load(&self, indices: &Range<u64>) -> Result<Vec<Trajectory>, Error> {
        let path = self.path(indices);
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let (settings, rows) = shard::read(file).map_err(|error| Error::malformed(&path, error))?;
        self.settings.expect(&settings, &path)?;
        if !rows.iter().map(|row| row.index).eq(indices.clone()) {
            let reason = format!("it does not hold the trajectories {indices:?} of its name");
            return Err(Error::malformed(&path, reason));
        }
        for row in &rows {
            if let Some(fault) = row.fault() {
                return Err(Error::malformed(&path, format!("trajectory {}: {fault}", row.index)));
            }
        }
        Ok(rows)
    }

    fn path(&self, indices: &Range<u64>) -> PathBuf {
        let Range { start, end } = indices;
        self.folder.join(format!("trajectories-{start:09}-{end:09}.parquet"))
    }

    /// The indices of the files, ascending.
    fn files(&self) -> Result<Vec<Range<u64>>, Error> {
        let failed = || Error::io("read", &self.folder);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            files.extend(name.to_str().and_then(parse).filter(|range| !range.is_empty()));
        }
        files.sort_unstable_by_key(|indices| (indices.start, indices.end));
        Ok(files)
    }
}

/// The indices in a file's name.
fn parse(name: &str) -> Option<Range<u64>> {
    let indices = name.strip_prefix("trajectories-")?.strip_suffix(".parquet")?;
    let (start, end) = indices.split_once('-')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// The parts of 0..count that none of these ascending ranges covers.
fn gaps(files: &[Range<u64>], count: u64) -> Vec<Range<u64>> {
    let (mut gaps, mut next) = (Vec::new(), 0);
    for indices in files {
        gaps.push(next..indices.start.min(count));
        next = next.max(indices.end);
    }
    gaps.push(next..count);
    gaps.retain(|gap| !gap.is_empty());
    gaps
}
