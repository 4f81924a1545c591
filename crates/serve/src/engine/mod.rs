//! The engine: one thread that runs all sequences, and the handle that gives it work.
//!
//! Sequences join and leave between denoising steps (continuous batching). The engine knows nothing of HTTP.

mod job;
mod lane;
mod queue;
mod scores;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use job::{Base, Change, End, Job, Step, Steps, Update};
pub use queue::{NoPlace, Place, Places};
pub use scores::{Score, Scores};

use crate::metrics::Metrics;
use worker::{Message, Worker};

/// The handle of the engine. Dropping the last one ends its thread after the sequences that run.
pub struct Engine {
    messages: mpsc::Sender<Message>,
    places: Arc<Places>,
    alive: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the thread. At most `batch` sequences run at a time, and at most `queue` more wait.
    pub fn start(batch: usize, queue: usize, metrics: Arc<Metrics>) -> Self {
        let (messages, inbox) = mpsc::channel();
        let places = Places::new(batch + queue);
        let alive = Arc::new(AtomicBool::new(true));
        let worker = Worker::new(inbox, batch, metrics);
        let mark = Alive(alive.clone());
        let thread = std::thread::spawn(move || {
            let _mark = mark;
            worker.run();
        });
        Self { messages, places, alive, thread: Mutex::new(Some(thread)) }
    }

    /// The places of jobs that run or wait.
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Whether the thread runs.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Queues a job. If the engine has ended, the job's updates end without an [`End`].
    pub fn submit(&self, job: Job) {
        // A job that cannot be sent is dropped, which closes its updates.
        let _ = self.messages.send(Message::Run(Box::new(job)));
    }

    /// Rejects jobs from now on, drops those that wait, and ends the running sequences after `grace`.
    pub fn stop(&self, grace: Duration) {
        self.places.close();
        let _ = self.messages.send(Message::Stop(Instant::now() + grace));
    }

    /// Waits for the end of the thread after a [stop](Self::stop).
    pub fn join(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

/// Notes the end of the thread, even after a panic.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
