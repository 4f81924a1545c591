//! A teacher with a cache in a file, which further runs share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};

use super::teacher::{Teacher, fill_missing};
use crate::error::TrainError;

/// The hidden states of a row, as bytes, by the bytes of its ids.
const HIDDEN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("answers");
/// Metadata: the model that the hidden states belong to.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const MODEL: &str = "model";
/// The bytes of all hidden states. Files of earlier versions lack it; their rows have one length.
const BYTES: &str = "bytes";
/// The number of writes between syncs to the disk. A loss of power costs at most those writes, which are recomputed.
const SYNC_EVERY: u64 = 64;

/// A teacher that caches hidden states in a file, a [redb](https://docs.rs/redb) database. Successive runs on the same
/// trajectories then compute each state once.
///
/// A state takes T · D · 4 bytes: 1.8 MB for Dream-7B at T = 128. A file of 1 TB holds the states of about 4,000 such
/// trajectories.
pub struct CachedTeacher<T> {
    teacher: T,
    path: PathBuf,
    database: Database,
    capacity: u64,
    writes: AtomicU64,
}

impl<T: Teacher> CachedTeacher<T> {
    /// Caches up to `bytes` of the hidden states of `teacher`, the model called `model`, in the file `path`. The entries
    /// of an existing file are used. A full file keeps its entries.
    ///
    /// # Errors
    ///
    /// [`TrainError::TeacherCache`] if the file is not such a database, is open in another process, or cannot be written,
    /// and [`TrainError::OtherAnswers`] if it belongs to another model.
    pub fn open(teacher: T, path: &Path, model: &str, bytes: u64) -> Result<Self, TrainError> {
        let (database, found) = about(path, model).map_err(|source| failed(path, source))?;
        if found != model {
            let (path, new) = (path.to_owned(), model.to_owned());
            return Err(TrainError::OtherAnswers { path, old: found, new });
        }
        let writes = AtomicU64::new(0);
        Ok(Self { teacher, path: path.to_owned(), database, capacity: bytes, writes })
    }

    fn find(&self, rows: &[&[i64]]) -> Result<Vec<Option<Vec<f32>>>, redb::Error> {
        let reading = self.database.begin_read()?;
        let table = reading.open_table(HIDDEN)?;
        let find = |row: &&[i64]| Ok(table.get(key(row).as_slice())?.map(|a| numbers(a.value())));
        rows.iter().map(find).collect()
    }

    fn insert(&self, new: &[(&[i64], &[f32])]) -> Result<(), redb::Error> {
        let mut writing = self.database.begin_write()?;
        if !self.writes.fetch_add(1, Ordering::Relaxed).is_multiple_of(SYNC_EVERY) {
            writing.set_durability(Durability::None)?;
        }
        {
            let mut table = writing.open_table(HIDDEN)?;
            let mut about = writing.open_table(ABOUT)?;
            let known = about.get(BYTES)?.and_then(|bytes| bytes.value().parse().ok());
            let mut total: u64 = match known {
                Some(total) => total,
                None => {
                    let first = table.first()?.map_or(0, |(_, hidden)| hidden.value().len());
                    table.len()? * first as u64
                }
            };
            for (row, hidden) in new {
                let bytes: Vec<u8> = hidden.iter().flat_map(|x| x.to_le_bytes()).collect();
                if total + bytes.len() as u64 <= self.capacity {
                    let replaced = table.insert(key(row).as_slice(), bytes.as_slice())?;
                    let replaced = replaced.map_or(0, |hidden| hidden.value().len());
                    total = total + bytes.len() as u64 - replaced as u64;
                }
            }
            about.insert(BYTES, total.to_string().as_str())?;
        }
        Ok(writing.commit()?)
    }
}

/// Opens or creates the file, and returns the model that it belongs to.
fn about(path: &Path, model: &str) -> Result<(Database, String), redb::Error> {
    let database = Database::create(path)?;
    let writing = database.begin_write()?;
    let found = {
        writing.open_table(HIDDEN)?;
        let mut table = writing.open_table(ABOUT)?;
        let found = table.get(MODEL)?.map(|model| model.value().to_owned());
        if found.is_none() {
            table.insert(MODEL, model)?;
        }
        found
    };
    writing.commit()?;
    Ok((database, found.unwrap_or_else(|| model.to_owned())))
}

fn failed(path: &Path, source: redb::Error) -> TrainError {
    TrainError::TeacherCache { path: path.to_owned(), source: Box::new(source) }
}

fn key(row: &[i64]) -> Vec<u8> {
    row.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
    bytes.as_chunks().0.iter().map(number).collect()
}

impl<T: Teacher> Teacher for CachedTeacher<T> {
    fn hidden(&self, ids: &[i64], _: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let rows: Vec<&[i64]> = ids.chunks(length.max(1)).collect();
        let failed = |source| failed(&self.path, source);
        let mut hidden = self.find(&rows).map_err(failed)?;
        let new = fill_missing(&self.teacher, &rows, &mut hidden, length)?;
        if !new.is_empty() {
            let new: Vec<(&[i64], &[f32])> =
                new.iter().filter_map(|&i| Some((rows[i], hidden[i].as_deref()?))).collect();
            self.insert(&new).map_err(failed)?;
        }
        Ok(hidden.into_iter().flatten().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::teachers::teacher::tests::Mirror;

    /// Requests `ids`, and returns the total number of computed rows.
    fn computed(cached: &CachedTeacher<Mirror>, ids: &[i64]) -> usize {
        let hidden = cached.hidden(ids, ids.len() / 2, 2).unwrap();
        assert_eq!(hidden, Mirror::default().hidden(ids, 0, 2).unwrap());
        cached.teacher.count()
    }

    #[test]
    fn the_next_run_computes_no_cached_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.redb");
        let open = || CachedTeacher::open(Mirror::default(), &path, "tiny", 1 << 20).unwrap();
        let first = open();
        assert_eq!((computed(&first, &[1, 2, 3, 4]), computed(&first, &[3, 4, 1, 2])), (2, 2));
        // The second write is not synced to the disk.
        assert_eq!(computed(&first, &[7, 8]), 3);
        drop(first);
        let second = open();
        assert_eq!((computed(&second, &[3, 4, 1, 2]), computed(&second, &[7, 8])), (0, 0));
        assert_eq!(computed(&second, &[3, 4, 5, 6]), 1);
    }

    #[test]
    fn a_full_file_keeps_its_entries() {
        let dir = tempfile::tempdir().unwrap();
        // Room for the four numbers of one row.
        let cached =
            CachedTeacher::open(Mirror::default(), &dir.path().join("a"), "tiny", 16).unwrap();
        assert_eq!(computed(&cached, &[1, 2, 3, 4]), 2);
        assert_eq!(computed(&cached, &[1, 2, 3, 4]), 3);
    }

    /// Rows of one and of three ids, with two numbers for each id.
    #[test]
    fn the_size_counts_rows_of_any_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let open = || CachedTeacher::open(Mirror::default(), &path, "tiny", 40).unwrap();
        let asked = |cached: &CachedTeacher<Mirror>, row: &[i64]| {
            cached.hidden(row, 1, row.len()).unwrap();
            cached.teacher.count()
        };
        let cached = open();
        let rows: [&[i64]; 3] = [&[1, 2, 3], &[4], &[5, 6, 7]];
        assert_eq!(rows.map(|row| asked(&cached, row)), [1, 2, 3]);
        drop(cached);
        // 24 + 8 bytes are kept. Another row of three would exceed 40, one of one does not.
        let cached = open();
        let rows: [&[i64]; 5] = [&[1, 2, 3], &[4], &[5, 6, 7], &[8], &[8]];
        assert_eq!(rows.map(|row| asked(&cached, row)), [0, 0, 1, 2, 2]);
    }

    #[test]
    fn unsuitable_files_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.redb");
        let open =
            |path: &Path, model: &str| CachedTeacher::open(Mirror::default(), path, model, 1 << 20);
        let first = open(&path, "tiny").unwrap();
        let twice = open(&path, "tiny").err().unwrap();
        assert!(matches!(twice, TrainError::TeacherCache { .. }), "{twice}");
        drop(first);
        let other = open(&path, "large").err().unwrap();
        assert!(matches!(&other, TrainError::OtherAnswers { old, .. } if old == "tiny"), "{other}");
        let text = dir.path().join("text");
        std::fs::write(&text, "not a database").unwrap();
        let error = open(&text, "tiny").err().unwrap().to_string();
        assert!(error.contains("text"), "{error}");
        assert_eq!(std::fs::read_to_string(&text).unwrap(), "not a database");
    }
}
