//! The thread of the engine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use super::job::{End, Job, Update};
use super::lane::Lane;
use crate::metrics::Metrics;

/// A message to the thread.
pub enum Message {
    /// Run this job.
    Run(Box<Job>),
    /// Drop the jobs that wait, and end the others by this time.
    Stop(Instant),
}

/// The state of the thread.
pub struct Worker {
    inbox: Receiver<Message>,
    batch: usize,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Job>,
    lanes: Vec<Lane>,
    /// When the sequences are ended, once the server stops.
    last: Option<Instant>,
}

impl Worker {
    /// A worker that runs at most `batch` sequences at a time.
    pub fn new(inbox: Receiver<Message>, batch: usize, metrics: Arc<Metrics>) -> Self {
        let (waiting, lanes) = (VecDeque::new(), Vec::new());
        Self { inbox, batch, metrics, waiting, lanes, last: None }
    }

    /// Runs jobs until the server stops, or its handle is dropped.
    pub fn run(mut self) {
        while self.receive() {
            self.drop_due();
            self.admit();
            for lane in &mut self.lanes {
                lane.end_due(self.last, &self.metrics);
            }
            self.step();
            if self.last.is_some() && self.running() == 0 {
                return;
            }
        }
    }

    fn running(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }

    /// Takes all messages; waits for one if there is nothing to do. False once no message can come and all is done.
    fn receive(&mut self) -> bool {
        let is_idle = self.waiting.is_empty() && self.running() == 0;
        if is_idle {
            match self.inbox.recv() {
                Ok(message) => self.take(message),
                Err(_) => return false,
            }
        }
        loop {
            match self.inbox.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    return !(self.waiting.is_empty() && self.running() == 0);
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Run(job) if self.last.is_none() => self.waiting.push_back(*job),
            Message::Run(_) => {}
            Message::Stop(last) => {
                self.last = Some(last);
                // Dropping a job closes its updates: the client gets an error.
                self.waiting.clear();
            }
        }
    }

    /// Drops the waiting jobs without a listener, and ends those whose deadline has passed.
    fn drop_due(&mut self) {
        let now = Instant::now();
        let metrics = &self.metrics;
        self.waiting.retain(|job| {
            let is_late = job.deadline.is_some_and(|at| now >= at);
            if is_late {
                let end = End::late(&job.canvas);
                end.count(metrics);
                let _ = job.updates.send((job.number, Update::End(end)));
            }
            !is_late && !job.updates.is_closed()
        });
    }

    /// Begins waiting jobs while the batch has room.
    fn admit(&mut self) {
        while self.running() < self.batch {
            let Some(job) = self.waiting.pop_front() else { return };
            let lane = match self.lanes.iter().position(|lane| lane.is_of(&job.base)) {
                Some(place) => &mut self.lanes[place],
                None => match Lane::open(job.base.clone()) {
                    Ok(lane) => {
                        self.lanes.push(lane);
                        let last = self.lanes.len() - 1;
                        &mut self.lanes[last]
                    }
                    Err(error) => {
                        let end = End::ModelFailed(error.to_string());
                        end.count(&self.metrics);
                        let _ = job.updates.send((job.number, Update::End(end)));
                        continue;
                    }
                },
            };
            lane.add(job, &self.metrics);
        }
    }

    /// Computes one step of every lane, and closes those without a sequence.
    fn step(&mut self) {
        let mut kept = Vec::with_capacity(self.lanes.len());
        for mut lane in self.lanes.drain(..) {
            if lane.len() == 0 {
                continue;
            }
            let began = Instant::now();
            match lane.step(&self.metrics) {
                Ok(()) => {
                    self.metrics.step_seconds.observe(began.elapsed().as_secs_f64());
                    kept.extend(Some(lane).filter(|lane| lane.len() > 0));
                }
                Err(error) => {
                    tracing::error!(%error, sequences = lane.len(), "the model failed");
                    lane.fail(&error, &self.metrics);
                }
            }
        }
        self.lanes = kept;
    }
}
