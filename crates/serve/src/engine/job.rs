//! What the engine runs, and what it reports.

use std::sync::Arc;
use std::time::Instant;

use conjoint::FinishReason;
use conjoint::prelude::*;
use tokio::sync::mpsc::UnboundedSender;

use super::queue::Place;
use crate::metrics::Metrics;

/// A generator over the model without any setting. Jobs of one base share forwards.
pub type Base = Arc<Generator>;

/// One sequence to generate.
pub struct Job {
    /// What its generator was made on.
    pub base: Base,
    /// The generator, with the settings and the random stream of this sequence.
    pub generator: Generator,
    /// The canvas.
    pub canvas: Canvas,
    /// When it is ended if it has not finished.
    pub deadline: Option<Instant>,
    /// When it was submitted.
    pub submitted: Instant,
    /// Which steps are reported.
    pub steps: Steps,
    /// Its place, which is free once the job is dropped.
    pub place: Place,
    /// The number of the sequence in its request.
    pub number: usize,
    /// Receives the reports with the number. If nobody listens any more, the sequence is cancelled.
    pub updates: UnboundedSender<(usize, Update)>,
}

/// Which steps of a sequence are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// None.
    None,
    /// Those that change a position.
    Changes,
    /// All.
    All,
}

/// A report of a sequence.
#[derive(Debug)]
pub enum Update {
    /// A denoising step.
    Step(Step),
    /// The end; no report follows.
    End(End),
}

/// A denoising step of a sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Its number, from 0.
    pub number: usize,
    /// Full forwards.
    pub forwards: usize,
    /// Passes of the sampler layer.
    pub passes: usize,
    /// What changed, in order.
    pub changes: Vec<Change>,
}

/// A change of one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// A token was revealed.
    Reveal {
        /// The position.
        position: usize,
        /// The token.
        token: TokenId,
        /// Its probability in the filtered row.
        probability: f64,
    },
    /// A position was masked again.
    Remask(usize),
}

/// How a sequence ended.
#[derive(Debug)]
pub enum End {
    /// It finished, or its deadline or that of the server's stop passed: its finish reason says so.
    Output(Output),
    /// The strategy failed on it.
    Failed(conjoint::Error),
    /// The model failed on the batch.
    ModelFailed(String),
}

impl End {
    /// Counts it.
    pub(super) fn count(&self, metrics: &Metrics) {
        match self {
            Self::Output(output) => metrics.finished(output),
            Self::Failed(_) | Self::ModelFailed(_) => metrics.failed(),
        }
    }

    /// The end of a sequence whose deadline passed before it began.
    pub fn late(canvas: &Canvas) -> Self {
        let mut output = Output::new(canvas.tokens().to_vec(), canvas.free_span());
        output.finish = FinishReason::Deadline;
        output.drawn = 0;
        Self::Output(output)
    }
}
