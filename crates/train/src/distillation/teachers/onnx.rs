//! The exported frozen model on ONNX Runtime as the teacher.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use conjoint_onnx::{OnnxDenoiser, OnnxOptions};

use super::teacher::Teacher;
use crate::error::TrainError;

/// Copies of an exported model, one per worker. Each call goes to an idle copy.
pub struct OnnxTeacher {
    models: Vec<Mutex<OnnxDenoiser>>,
}

impl OnnxTeacher {
    /// Opens the folder that `conjoint export` wrote, once per worker. Every copy has these options.
    ///
    /// # Errors
    ///
    /// [`TrainError::Teacher`] if the model cannot be opened.
    pub fn open(folder: &Path, options: &OnnxOptions, workers: usize) -> Result<Self, TrainError> {
        let open = |_| OnnxDenoiser::open(folder, options.clone()).map(Mutex::new);
        let models = (0..workers.max(1)).map(open).collect::<Result<_, _>>();
        Ok(Self { models: models.map_err(|error| TrainError::Teacher(error.into()))? })
    }

    /// Locks an idle copy, or waits for the first one. A panicking thread cannot leave a copy inconsistent.
    fn idle(&self) -> MutexGuard<'_, OnnxDenoiser> {
        let idle = self.models.iter().find_map(|model| model.try_lock().ok());
        idle.unwrap_or_else(|| self.models[0].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Teacher for OnnxTeacher {
    fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Vec<f32>, TrainError> {
        let hidden = self.idle().hidden(ids, batch, length);
        let hidden = hidden.map_err(|error| TrainError::Teacher(error.into()))?;
        Ok(hidden.into_raw_vec_and_offset().0)
    }
}
