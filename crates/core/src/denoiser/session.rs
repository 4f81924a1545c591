use super::{Answer, Request, SequenceId};
use crate::Error;

/// A model's memory during one run: what it keeps of each sequence from one forward to the next.
///
/// The run owns the session and calls it from one thread. A sequence appears in a [`Request`] under the same
/// [`SequenceId`] from its first forward to its last, in batches of changing size and order.
pub trait Session: Send {
    /// One forward, as [`Denoiser::forward`](super::Denoiser::forward), with the memory of those before.
    ///
    /// The rows of a sequence must not depend on its neighbours in the batch. They equal those of
    /// [`Denoiser::forward`](super::Denoiser::forward) if the session [is exact](Self::is_exact).
    ///
    /// # Errors
    /// Those of [`Denoiser::forward`](super::Denoiser::forward).
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error>;

    /// The sequence is finished, has failed or was cancelled, perhaps before it was ever shown: whatever is kept of it can
    /// be dropped.
    fn end(&mut self, sequence: SequenceId) {
        let _ = sequence;
    }

    /// Whether every row equals that of a forward without memory. False for a cache that is refreshed only now and
    /// then: what is sampled is then no longer the model's own law.
    fn is_exact(&self) -> bool {
        true
    }
}
