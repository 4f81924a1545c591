use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cancels runs from another thread, a signal handler or an observer. Clones share one state.
///
/// [`Run::cancelled_by`](super::Run::cancelled_by) connects a run to it.
#[doc(alias = "cancellation")]
#[doc(alias = "abort")]
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Creates a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the token permanently. Runs that hold it end within one step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the token is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
