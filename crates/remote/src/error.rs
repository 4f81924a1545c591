//! Errors of a remote model.

/// Why a remote model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The server cannot be reached, or does not become ready in time.
    #[error("{url} does not answer after {seconds:.0} s: {reason}")]
    Unreachable {
        /// The address of the request.
        url: String,
        /// How long it was tried.
        seconds: f64,
        /// The last failure.
        reason: String,
    },
    /// The server rejected a request.
    #[error("{url} answered with status {status}: {message}")]
    Rejected {
        /// The address of the request.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// The model of the server is not of the expected form.
    #[error("the model `{model}` of {url}: {reason}")]
    Model {
        /// The address of the server.
        url: String,
        /// The name of the model.
        model: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// An answer that is not of the protocol.
    #[error("the answer of {url} cannot be read: {reason}")]
    Answer {
        /// The address of the request.
        url: String,
        /// What is wrong.
        reason: String,
    },
}
