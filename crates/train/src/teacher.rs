//! The frozen model as the sampler layer's teacher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Int, Tensor, TensorData};

use crate::TrainError;
use crate::dream::{DreamModule, shift};

/// A frozen model that answers with hidden states.
///
/// Workers call it at the same time, each with its own rows, so an implementation gains from being
/// single-threaded inside.
pub trait Teacher: Sync {
    /// The final hidden states, after Dream's shift, of `batch` rows of `length` ids: `ids`
    /// [batch · length] → [batch · length · D], row-major.
    ///
    /// # Errors
    ///
    /// [`TrainError::Teacher`] where the model fails.
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError>;
}

/// The model itself, computed without gradients.
impl Teacher for DreamModule {
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let device = self.norm.gamma.device();
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [batch, length]), &device);
        Ok(shift(self.forward(ids)).into_data().iter::<f32>().collect())
    }
}

/// A teacher that remembers its answers: states of a trajectory come up again and again, and each
/// costs a forward of the whole frozen model.
#[derive(Debug)]
pub struct InMemory<T> {
    teacher: T,
    /// How many numbers may be kept.
    capacity: usize,
    answers: Mutex<Answers>,
}

/// The hidden states of rows, each [T · D], by their ids.
#[derive(Debug, Default)]
struct Answers {
    rows: HashMap<Box<[i64]>, Arc<[f32]>>,
    size: usize,
}

impl<T> InMemory<T> {
    /// Remembers up to `bytes` of `teacher`'s answers; once full, it keeps what it has.
    pub fn new(teacher: T, bytes: usize) -> Self {
        Self { teacher, capacity: bytes / size_of::<f32>(), answers: Mutex::default() }
    }

    fn known(&self, row: &[i64]) -> Option<Arc<[f32]>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).rows.get(row).cloned()
    }

    fn remember(&self, row: &[i64], answer: &Arc<[f32]>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let size = answers.size + answer.len();
        if size <= self.capacity && answers.rows.insert(row.into(), answer.clone()).is_none() {
            answers.size = size;
        }
    }
}

impl<T: Teacher> Teacher for InMemory<T> {
    fn hidden(&self, ids: &[i64], _: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let rows: Vec<&[i64]> = ids.chunks(length.max(1)).collect();
        let mut answers: Vec<_> = rows.iter().map(|row| self.known(row)).collect();
        for i in ask_missing(&self.teacher, &rows, &mut answers, length)? {
            if let Some(answer) = &answers[i] {
                self.remember(rows[i], answer);
            }
        }
        Ok(answers.iter().flatten().flat_map(|answer| answer.iter().copied()).collect())
    }
}

/// Asks `teacher`, in one call, for the answers that are missing, and says which they were.
pub(crate) fn ask_missing<A: for<'a> From<&'a [f32]>>(
    teacher: &impl Teacher,
    rows: &[&[i64]],
    answers: &mut [Option<A>],
    length: usize,
) -> Result<Vec<usize>, TrainError> {
    let missing: Vec<usize> = (0..rows.len()).filter(|&i| answers[i].is_none()).collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let asked = missing.iter().flat_map(|&i| rows[i]).copied().collect::<Vec<_>>();
    let new = teacher.hidden(&asked, missing.len(), length)?;
    if new.is_empty() || new.len() % missing.len() != 0 {
        let expected = new.len().next_multiple_of(missing.len()).max(asked.len());
        return Err(TrainError::TeacherShape { got: new.len(), batch: rows.len(), expected });
    }
    for (&i, answer) in missing.iter().zip(new.chunks_exact(new.len() / missing.len())) {
        answers[i] = Some(A::from(answer));
    }
    Ok(missing)
}

impl<T: Teacher + ?Sized> Teacher for &T {
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        (**self).hidden(ids, batch, length)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Answers [id, −id] for each id, and counts the rows it was asked about.
    #[derive(Default)]
    pub(crate) struct Mirror(Mutex<usize>);

    impl Mirror {
        pub(crate) fn count(&self) -> usize {
            *self.0.lock().unwrap()
        }
    }

    impl Teacher for Mirror {
        fn hidden(&self, ids: &[i64], batch: usize, _: usize) -> Result<Vec<f32>, TrainError> {
            *self.0.lock().unwrap() += batch;
            Ok(ids.iter().flat_map(|&id| [id as f32, -id as f32]).collect())
        }
    }

    #[test]
    fn remembered_answers_are_the_teachers_in_order() {
        let cached = InMemory::new(Mirror::default(), 1 << 20);
        let asked = |ids: &[i64]| {
            let answer = cached.hidden(ids, ids.len() / 2, 2).unwrap();
            assert_eq!(answer, Mirror::default().hidden(ids, 0, 2).unwrap());
            cached.teacher.count()
        };
        assert_eq!(asked(&[1, 2, 3, 4]), 2);
        assert_eq!(asked(&[3, 4, 1, 2]), 2);
        assert_eq!(asked(&[3, 4, 2, 1, 1, 2]), 3);
    }

    #[test]
    fn it_keeps_no_more_than_it_may() {
        // Room for the four numbers of one row.
        let cached = InMemory::new(Mirror::default(), 16);
        for _ in 0..3 {
            cached.hidden(&[1, 2, 3, 4], 2, 2).unwrap();
        }
        assert_eq!(cached.teacher.count(), 4);
        assert_eq!(cached.answers.lock().unwrap().size, 4);
    }

    #[test]
    fn an_answer_that_cannot_be_split_into_rows_is_an_error() {
        struct Odd;
        impl Teacher for Odd {
            fn hidden(&self, _: &[i64], _: usize, _: usize) -> Result<Vec<f32>, TrainError> {
                Ok(vec![0.0; 3])
            }
        }
        let answer = InMemory::new(Odd, 100).hidden(&[1, 2], 2, 1);
        assert!(matches!(answer, Err(TrainError::TeacherShape { got: 3, batch: 2, .. })));
    }
}
