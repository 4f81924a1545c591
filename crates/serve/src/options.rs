//! The options of a server.

use std::time::Duration;

/// Limits of a server and its requests.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The most sequences that run at a time. Default 32.
    pub batch: u16,
    /// The most sequences that wait while the batch is full. Default 256.
    pub queue: usize,
    /// The most positions of a sequence, beside the model's own limit. Default 8,192.
    pub length: usize,
    /// The most bytes of a body. Default 4 MiB.
    pub body: usize,
    /// The most open connections. Default 1,024.
    pub connections: usize,
    /// The longest time for the headers of a request, again for its body, and for a client to read an event. Default 30 s.
    pub read_timeout: Duration,
    /// The longest time of a request, from its arrival; `None` for no limit. Default 10 minutes.
    pub timeout: Option<Duration>,
    /// The longest time that running sequences have to finish when the server stops. Default 30 s.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 32,
            queue: 256,
            length: 8192,
            body: 4 << 20,
            connections: 1024,
            read_timeout: Duration::from_secs(30),
            timeout: Some(Duration::from_secs(600)),
            grace: Duration::from_secs(30),
        }
    }
}
