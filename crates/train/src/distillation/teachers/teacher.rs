//! The interface of teachers, and a frozen model in memory as one.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::TrainError;
use crate::model::DreamModule;

/// A frozen model that computes hidden states, the targets of knowledge distillation.
///
/// Workers call it concurrently, each with its own rows. An implementation should therefore use one thread per call.
pub trait Teacher: Sync {
    /// The final hidden states that predict each position, after Dream's shift if the model has it, of `batch` rows of `length` ids: `ids`
    /// [batch · length] → [batch · length · D], row-major.
    ///
    /// # Errors
    ///
    /// [`TrainError::Teacher`] if the model fails.
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError>;
}

/// Computes hidden states without gradients.
impl Teacher for DreamModule {
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let device = self.norm.gamma.device();
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [batch, length]), &device);
        Ok(self.predicting(ids).into_data().iter::<f32>().collect())
    }
}

/// Computes the missing entries of `hidden` in one call of `teacher`, and returns their indices.
pub(crate) fn fill_missing<A: for<'a> From<&'a [f32]>>(
    teacher: &impl Teacher,
    rows: &[&[i64]],
    hidden: &mut [Option<A>],
    length: usize,
) -> Result<Vec<usize>, TrainError> {
    let missing: Vec<usize> = (0..rows.len()).filter(|&i| hidden[i].is_none()).collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let ids = missing.iter().flat_map(|&i| rows[i]).copied().collect::<Vec<_>>();
    let new = teacher.hidden(&ids, missing.len(), length)?;
    if new.is_empty() || new.len() % missing.len() != 0 {
        let expected = new.len().next_multiple_of(missing.len()).max(ids.len());
        return Err(TrainError::TeacherShape { got: new.len(), batch: rows.len(), expected });
    }
    for (&i, row) in missing.iter().zip(new.chunks_exact(new.len() / missing.len())) {
        hidden[i] = Some(A::from(row));
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
    use std::sync::Mutex;

    use super::*;

    /// Returns [id, −id] for each id, and counts the computed rows.
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
}
