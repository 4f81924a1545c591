//! A teacher whose answers are kept in a file, for the next run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};

use crate::TrainError;
use crate::teacher::{Teacher, ask_missing};

/// The hidden states of a row, as bytes, by the bytes of its ids.
const ANSWERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("answers");
/// What the file is about.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const MODEL: &str = "model";
/// Every how many writes the file is made to hold against a loss of power. What is lost is asked for again.
const SYNC_EVERY: u64 = 64;

/// A teacher that keeps its answers in a file, a [redb](https://docs.rs/redb) database: runs on the same
/// trajectories, one after the other, ask the frozen model about each state once.
///
/// An answer takes T · D · 4 bytes. A state of Dream-7B at T = 128 is 1.8 MB, so that a file of 1 TB holds the
/// states of some 4,000 trajectories; the small models that options are tried on fit whole.
pub struct CachedTeacher<T> {
    teacher: T,
    path: PathBuf,
    database: Database,
    capacity: u64,
    writes: AtomicU64,
}

impl<T: Teacher> CachedTeacher<T> {
    /// Keeps up to `bytes` of the answers of `teacher`, the model called `model`, in the file `path`; what the file
    /// holds already is not asked for again. Once full, it keeps what it has.
    ///
    /// # Errors
    ///
    /// [`TrainError::TeacherCache`] if the file is no such database, is open in another process, or cannot be written, and
    /// [`TrainError::OtherAnswers`] if its answers are another model's.
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
        let table = reading.open_table(ANSWERS)?;
        let find = |row: &&[i64]| Ok(table.get(key(row).as_slice())?.map(|a| numbers(a.value())));
        rows.iter().map(find).collect()
    }

    fn keep(&self, new: &[(&[i64], &[f32])]) -> Result<(), redb::Error> {
        let mut writing = self.database.begin_write()?;
        if !self.writes.fetch_add(1, Ordering::Relaxed).is_multiple_of(SYNC_EVERY) {
            writing.set_durability(Durability::None)?;
        }
        {
            let mut table = writing.open_table(ANSWERS)?;
            for (row, answer) in new {
                let bytes: Vec<u8> = answer.iter().flat_map(|x| x.to_le_bytes()).collect();
                if (table.len()? + 1) * bytes.len() as u64 <= self.capacity {
                    table.insert(key(row).as_slice(), bytes.as_slice())?;
                }
            }
        }
        Ok(writing.commit()?)
    }
}

/// Opens the file, a new one if there is none, with the model that it is about.
fn about(path: &Path, model: &str) -> Result<(Database, String), redb::Error> {
    let database = Database::create(path)?;
    let writing = database.begin_write()?;
    let found = {
        writing.open_table(ANSWERS)?;
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
        let mut answers = self.find(&rows).map_err(failed)?;
        let new = ask_missing(&self.teacher, &rows, &mut answers, length)?;
        if !new.is_empty() {
            let new: Vec<(&[i64], &[f32])> =
                new.iter().filter_map(|&i| Some((rows[i], answers[i].as_deref()?))).collect();
            self.keep(&new).map_err(failed)?;
        }
        Ok(answers.into_iter().flatten().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::tests::Mirror;

    fn asked(kept: &CachedTeacher<Mirror>, ids: &[i64]) -> usize {
        let answer = kept.hidden(ids, ids.len() / 2, 2).unwrap();
        assert_eq!(answer, Mirror::default().hidden(ids, 0, 2).unwrap());
        kept.teacher.count()
    }

    #[test]
    fn the_next_run_asks_for_nothing_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.redb");
        let open = || CachedTeacher::open(Mirror::default(), &path, "tiny", 1 << 20).unwrap();
        let first = open();
        assert_eq!((asked(&first, &[1, 2, 3, 4]), asked(&first, &[3, 4, 1, 2])), (2, 2));
        // The second write is one of those that need not outlast a loss of power.
        assert_eq!(asked(&first, &[7, 8]), 3);
        drop(first);
        let second = open();
        assert_eq!((asked(&second, &[3, 4, 1, 2]), asked(&second, &[7, 8])), (0, 0));
        assert_eq!(asked(&second, &[3, 4, 5, 6]), 1);
    }

    #[test]
    fn a_full_file_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        // Room for the four numbers of one row.
        let kept =
            CachedTeacher::open(Mirror::default(), &dir.path().join("a"), "tiny", 16).unwrap();
        assert_eq!(asked(&kept, &[1, 2, 3, 4]), 2);
        assert_eq!(asked(&kept, &[1, 2, 3, 4]), 3);
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
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
        std::fs::write(&text, "no database").unwrap();
        let error = open(&text, "tiny").err().unwrap().to_string();
        assert!(error.contains("text"), "{error}");
        assert_eq!(std::fs::read_to_string(&text).unwrap(), "no database");
    }
}
