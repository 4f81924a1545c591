use super::{Answer, Request, SequenceId};
use crate::Error;

/// A model's state during one run, such as a key-value cache for each sequence.
///
/// A session with such a cache takes a [`CachePolicy`](crate::cache::CachePolicy) and plans its forwards with a
/// [`Planner`](crate::cache::Planner).
///
/// The run owns the session and calls it from one thread. A sequence keeps its [`SequenceId`] from its first
/// forward to its last. Batches change in size and order from request to request.
#[doc(alias = "KV cache")]
#[doc(alias = "dLLM-Cache")]
pub trait Session: Send {
    /// Runs one forward with the state of earlier ones.
    ///
    /// The rows of a sequence must not depend on the other sequences of the batch. If the session
    /// [is exact](Self::is_exact) they equal those of [`Denoiser::forward`](super::Denoiser::forward).
    ///
    /// # Errors
    /// Those of [`Denoiser::forward`](super::Denoiser::forward).
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error>;

    /// Called when a sequence has finished, failed or been cancelled, perhaps before its first forward. Its
    /// state can be dropped.
    fn end(&mut self, sequence: SequenceId) {
        let _ = sequence;
    }

    /// Whether every row equals the row of a forward without state. False for a cache that is refreshed only
    /// at intervals. A run then no longer samples the model's own law.
    fn is_exact(&self) -> bool {
        true
    }
}
