//! An iterator over the steps of one sequence.

use std::sync::{Arc, Mutex, PoisonError};

use conjoint::prelude::*;
use conjoint_lab::Model;
use conjoint_lab::prompt::PromptInput;
use pyo3::prelude::*;

use crate::error::exception;
use crate::generate::{Job, prepare};
use crate::result::GenerationResult;
use crate::settings::Settings;
use crate::step::Step;
use crate::watch::Watch;

/// An iterator over the denoising steps of one sequence.
#[pyclass(module = "conjoint")]
pub struct Steps {
    model: Arc<Model>,
    settings: Settings,
    job: Job,
    /// Always used through a unique reference, so the lock is never waited for.
    state: Mutex<Option<State>>,
    /// The result of the sequence after its last step; None before.
    #[pyo3(get)]
    result: Option<Py<GenerationResult>>,
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
        Ok(Self { model, settings, job, state, result: None })
    }
}

#[pymethods]
impl Steps {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Step>> {
        let slot = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = slot else { return Ok(None) };
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
                self.result = Some(Py::new(py, self.job.result(py, &self.model, &output)?)?);
                Ok(None)
            }
            Some(Err(error)) => Err(self.settings.explained(error)),
            None => Ok(None),
        }
    }
}
