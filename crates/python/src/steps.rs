//! An iterator over the steps of one sequence.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::prompt::PromptInput;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::error::exception;
use crate::generate::{Job, prepare};
use crate::result::GenerationResult;
use crate::settings::Settings;
use crate::step::Step;
use crate::watch::Watch;

/// An iterator over the denoising steps of one sequence. Several threads may share it: each step goes to one of them.
#[pyclass(module = "conjoint", frozen)]
pub struct Steps {
    model: Arc<Model>,
    settings: Settings,
    job: Job,
    state: Mutex<Option<State>>,
    result: OnceLock<Py<GenerationResult>>,
}

/// A run that is not over.
struct State {
    run: Run,
    watch: Watch,
}

impl Steps {
    /// Begins the sequence.
    pub fn begin(
        py: Python<'_>,
        model: Arc<Model>,
        settings: Settings,
        prompt: PromptInput,
        (stream, with_rows): (u64, bool),
    ) -> PyResult<Self> {
        let prepared = py.detach(|| prepare(&model, &settings, &[prompt], 1, stream));
        let (run, mut jobs) = prepared.map_err(exception)?;
        let Some(job) = jobs.pop() else {
            return Err(exception(conjoint::Error::EmptyPrompt.into()));
        };
        let vocabulary = model.denoiser.vocabulary().size();
        let watch = Watch::new(vocabulary, with_rows);
        let state = Mutex::new(Some(State { run, watch }));
        Ok(Self { model, settings, job, state, result: OnceLock::new() })
    }
}

#[pymethods]
impl Steps {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The result of the sequence after its last step; None before.
    #[getter]
    fn result(&self, py: Python<'_>) -> Option<Py<GenerationResult>> {
        self.result.get().map(|result| result.clone_ref(py))
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Step>> {
        let mut slot = self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let Some(state) = slot.as_mut() else { return Ok(None) };
        loop {
            if let Some(step) = state.watch.done.pop_front() {
                return Step::new(py, step).map(Some);
            }
            if state.run.is_done() {
                break;
            }
            let stepped = py.detach(|| state.run.step_observed(&mut state.watch));
            if let Err(error) = stepped.and(state.watch.failed.take().map_or(Ok(()), Err)) {
                *slot = None;
                return Err(self.settings.explained(error));
            }
            py.check_signals()?;
        }
        let outcome = state.run.take(0);
        *slot = None;
        match outcome {
            Some(Ok(output)) => {
                let result = Py::new(py, self.job.result(py, &self.model, &output)?)?;
                self.result.get_or_init(|| result);
                Ok(None)
            }
            Some(Err(error)) => Err(self.settings.explained(error)),
            None => Ok(None),
        }
    }
}
