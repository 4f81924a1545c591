use conjoint_core::unmasker::DynUnmasker;
use conjoint_core::{Error as CoreError, Next, StepRequest, Unmasker, View};

use super::Violation;

/// An unmasker that fails once it has made more moves than allowed.
#[derive(Clone)]
pub(super) struct MoveLimited {
    inner: Box<dyn DynUnmasker>,
    moves_per_position: usize,
    /// Moves left for this sequence; `None` before its first move.
    left: Option<usize>,
}

/// The strategy made this many moves and has not finished.
#[derive(Debug, thiserror::Error)]
#[error("not finished after {0} moves")]
struct MoveLimitReached(usize);

impl MoveLimited {
    pub fn new(inner: Box<dyn DynUnmasker>, moves_per_position: usize) -> Self {
        Self { inner, moves_per_position, left: None }
    }

    /// The violation of an error: a reached limit, or a failure.
    pub fn violation(run: &str, error: CoreError) -> Violation {
        if let CoreError::Model(source) = &error
            && let Some(&MoveLimitReached(moves)) = source.downcast_ref()
        {
            return Violation::StepLimitExceeded { run: run.into(), moves };
        }
        Violation::failed(run, error)
    }
}

impl Unmasker for MoveLimited {
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
        let limit_reached = || CoreError::model(MoveLimitReached(allowed));
        self.left = Some(left.checked_sub(1).ok_or_else(limit_reached)?);
        self.inner.decide(view)
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }
}
