//! A teacher with a cache in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::teacher::{Teacher, fill_missing};
use crate::error::TrainError;

/// A teacher that caches hidden states in memory.
///
/// Training visits the states of a trajectory repeatedly, and each visit costs a forward pass of the frozen model.
#[derive(Debug)]
pub struct InMemory<T> {
    teacher: T,
    /// The largest count of cached numbers.
    capacity: usize,
    cache: Mutex<Cache>,
}

/// The hidden states of rows, each [T · D], by their ids.
#[derive(Debug, Default)]
struct Cache {
    rows: HashMap<Box<[i64]>, Arc<[f32]>>,
    size: usize,
}

impl<T> InMemory<T> {
    /// Caches up to `bytes` of `teacher`'s hidden states. A full cache keeps its entries.
    pub fn new(teacher: T, bytes: usize) -> Self {
        Self { teacher, capacity: bytes / size_of::<f32>(), cache: Mutex::default() }
    }

    fn find(&self, row: &[i64]) -> Option<Arc<[f32]>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).rows.get(row).cloned()
    }

    fn insert(&self, row: &[i64], hidden: &Arc<[f32]>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let size = cache.size + hidden.len();
        if size <= self.capacity && cache.rows.insert(row.into(), hidden.clone()).is_none() {
            cache.size = size;
        }
    }
}

impl<T: Teacher> Teacher for InMemory<T> {
    fn hidden(&self, ids: &[i64], _: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let rows: Vec<&[i64]> = ids.chunks(length.max(1)).collect();
        let mut hidden: Vec<_> = rows.iter().map(|row| self.find(row)).collect();
        for i in fill_missing(&self.teacher, &rows, &mut hidden, length)? {
            if let Some(new) = &hidden[i] {
                self.insert(rows[i], new);
            }
        }
        Ok(hidden.iter().flatten().flat_map(|row| row.iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::teachers::teacher::tests::Mirror;

    #[test]
    fn cached_hidden_states_equal_the_teachers() {
        let cached = InMemory::new(Mirror::default(), 1 << 20);
        let computed = |ids: &[i64]| {
            let hidden = cached.hidden(ids, ids.len() / 2, 2).unwrap();
            assert_eq!(hidden, Mirror::default().hidden(ids, 0, 2).unwrap());
            cached.teacher.count()
        };
        assert_eq!(computed(&[1, 2, 3, 4]), 2);
        assert_eq!(computed(&[3, 4, 1, 2]), 2);
        assert_eq!(computed(&[3, 4, 2, 1, 1, 2]), 3);
    }

    #[test]
    fn the_cache_does_not_exceed_its_size() {
        // Room for the four numbers of one row.
        let cached = InMemory::new(Mirror::default(), 16);
        for _ in 0..3 {
            cached.hidden(&[1, 2, 3, 4], 2, 2).unwrap();
        }
        assert_eq!(cached.teacher.count(), 4);
        assert_eq!(cached.cache.lock().unwrap().size, 4);
    }

    #[test]
    fn an_array_that_cannot_be_split_into_rows_is_an_error() {
        struct Odd;
        impl Teacher for Odd {
            fn hidden(&self, _: &[i64], _: usize, _: usize) -> Result<Vec<f32>, TrainError> {
                Ok(vec![0.0; 3])
            }
        }
        let hidden = InMemory::new(Odd, 100).hidden(&[1, 2], 2, 1);
        assert!(matches!(hidden, Err(TrainError::TeacherShape { got: 3, batch: 2, .. })));
    }
}
