use conjoint_core::unmasker::DynUnmasker;
use conjoint_core::{Error as CoreError, Next, StepRequest, Unmasker, View};

use super::Violation;

/// An unmasker that is stopped once it has made more moves than it may need.
#[derive(Clone)]
pub(super) struct Watched {
    inner: Box<dyn DynUnmasker>,
    moves_per_position: usize,
    /// Moves left to this sequence; unknown before its first.
    left: Option<usize>,
}

/// The strategy made this many moves and was not done.
#[derive(Debug, thiserror::Error)]
#[error("not finished after {0} moves")]
struct Overrun(usize);

impl Watched {
    pub fn new(inner: Box<dyn DynUnmasker>, moves_per_position: usize) -> Self {
        Self { inner, moves_per_position, left: None }
    }

    /// Tells a strategy that was stopped from one that failed.
    pub fn violation(run: &str, error: CoreError) -> Violation {
        if let CoreError::Model(source) = &error
            && let Some(&Overrun(moves)) = source.downcast_ref()
        {
            return Violation::StepLimitExceeded { run: run.into(), moves };
        }
        Violation::failed(run, error)
    }
}

impl Unmasker for Watched {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), CoreError> {
        self.inner.plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), CoreError> {
        self.inner.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, CoreError> {
        let canvas = view.canvas();
        let free = (0..canvas.len()).filter(|&position| !canvas.is_given(position)).count();
        let allowed = free * self.moves_per_position;
        let left = self.left.unwrap_or(allowed);
        let overrun = || CoreError::model(Overrun(allowed));
        self.left = Some(left.checked_sub(1).ok_or_else(overrun)?);
        self.inner.decide(view)
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }
}
