//! Runs many requests, from a file of JSON lines to a file of JSON lines.

mod canvases;
mod file;
mod reply;
mod request;
mod shard;

use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::{CancelToken, Message, SeededStream, StopText};

pub use canvases::canvases;
pub use file::{Place, ReplyFile, Settings, line, remove_temporary};
pub use reply::{Reply, completion, finish_reason, text_of};
pub use request::{Request, Requests};
pub use shard::Shard;

use crate::model::Model;
use crate::prompt::{PromptInput, PromptReader};
use crate::registry::{ReviserSpec, ScheduleSpec, UnmaskerSpec};
use crate::{Error, Sampling};

/// Runs requests in batches of the sampling's size, in their order, each batch from beginning to end.
///
/// A reply does not depend on earlier replies, to the last bit. So an interrupted run can be resumed.
#[doc(alias = "batch inference")]
pub struct RequestRunner<'a> {
    /// The model.
    pub model: &'a Arc<Model>,
    /// The settings of all requests.
    pub sampling: &'a Sampling,
    /// The strategy, the schedule and the reviser.
    pub strategy: (&'a UnmaskerSpec, &'a ScheduleSpec, Option<&'a ReviserSpec>),
    /// Turns texts into token ids.
    pub reader: &'a PromptReader<'a>,
    /// Turns every plain prompt into a chat, after these messages.
    pub chat: Option<&'a [Message]>,
    /// Tokens to generate, for requests without a length of their own.
    pub gen_length: Option<u32>,
    /// Sample j of request i draws from stream i · `samples` + j of this seed.
    pub seed: u64,
    /// Samples of each request.
    pub samples: u32,
    /// The part of the requests to run.
    pub shard: Shard,
}

/// One sequence to generate.
struct Job<'r> {
    place: Place,
    line: usize,
    request: &'r Result<Request, String>,
}

/// A job with its canvas and generator.
struct Ready<'r> {
    place: Place,
    request: &'r Request,
    canvas: Canvas,
    generator: Generator,
    stops: Vec<StopText>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every request has its reply.
    Done,
    /// The run was cancelled. Finished requests have their replies.
    Cancelled,
}

impl RequestRunner<'_> {
    /// The number of replies that the run makes.
    pub fn count(&self, requests: &Requests) -> usize {
        let (jobs, size) = (self.jobs(requests), self.batch_size());
        let batches = self.shard.batches(jobs.div_ceil(size));
        (batches.end * size).min(jobs) - (batches.start * size).min(jobs)
    }

    /// The settings that decide the replies.
    pub fn settings(&self, requests: &Requests) -> Settings {
        let (unmasker, schedule, reviser) = self.strategy;
        let reviser = reviser.map_or_else(|| "none".to_owned(), ToString::to_string);
        let length = self.gen_length.map_or_else(|| "none".to_owned(), |length| length.to_string());
        let entries = [
            ("model", self.model.weights()),
            ("prompts", requests.checksum.clone()),
            ("unmasker", unmasker.to_string()),
            ("schedule", schedule.to_string()),
            ("reviser", reviser),
            ("sampling", self.sampling.description()),
            ("batch size", self.sampling.batch_size.to_string()),
            ("reading", self.reader.description()),
            ("chat", format!("{:?}", self.chat)),
            ("generation length", length),
            ("seed", self.seed.to_string()),
            ("samples", self.samples.to_string()),
            ("shard", self.shard.to_string()),
        ];
        entries.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Runs the requests for which `has` returns false, and passes each reply to `reply` as soon as it is complete.
    ///
    /// The reply of a sequence that fails is its error. If the model fails on a batch, the batch's sequences run one by one.
    ///
    /// # Errors
    /// [`Error::Parameter`] for settings of all requests, and the errors of `reply`.
    pub fn run(
        &self,
        requests: &Requests,
        cancel: &CancelToken,
        has: &mut dyn FnMut(Place) -> bool,
        reply: &mut dyn FnMut(Reply) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        let bare = self.sampling.bare(self.model, None)?;
        // Invalid settings of all requests are one error, not one per line.
        let common = self.generator(&bare, self.sampling)?;
        let (jobs, size) = (self.jobs(requests), self.batch_size());
        for batch in self.shard.batches(jobs.div_ceil(size)) {
            let jobs =
                (batch * size..jobs.min((batch + 1) * size)).map(|job| self.job(requests, job));
            let jobs: Vec<Job<'_>> = jobs.collect();
            let open: Vec<_> =
                jobs.iter().map(|job| job.place).filter(|&place| !has(place)).collect();
            if open.is_empty() {
                continue;
            }
            // A batch always runs as a whole, because its composition decides the last bits of the results.
            let mut reply_once = |made: Reply| match open.contains(&(made.index, made.sample)) {
                true => reply(made),
                false => Ok(()),
            };
            let mut ready = Vec::new();
            for job in &jobs {
                match self.ready(job, &bare, &common) {
                    Ok(job) => ready.push(job),
                    Err(reason) => {
                        let id = job.request.as_ref().ok().and_then(|request| request.id.clone());
                        reply_once(Reply::failed(
                            job.place,
                            id,
                            format!("line {}: {reason}", job.line),
                        ))?;
                    }
                }
            }
            if self.batch(&common, &ready, cancel, &mut reply_once)? == Outcome::Cancelled {
                return Ok(Outcome::Cancelled);
            }
        }
        Ok(Outcome::Done)
    }

    fn batch_size(&self) -> usize {
        usize::from(self.sampling.batch_size)
    }

    fn jobs(&self, requests: &Requests) -> usize {
        requests.lines.len() * self.samples as usize
    }

    fn job<'r>(&self, requests: &'r Requests, job: usize) -> Job<'r> {
        let samples = self.samples as usize;
        let (index, sample) = (job / samples, job % samples);
        let (line, request) = &requests.lines[index];
        Job { place: (index, sample as u32), line: *line, request }
    }

    /// A request with its canvas and generator, or the reason why it cannot run.
    fn ready<'r>(
        &self,
        job: &Job<'r>,
        bare: &Generator,
        common: &Generator,
    ) -> Result<Ready<'r>, String> {
        let request = job.request.as_ref()?;
        let mut given = request.given()?;
        if let Some(before) = self.chat {
            given = given.in_chat(before);
        }
        let mut sampling = request.sampling(self.sampling);
        let message = |error: Error| error.to_string();
        if matches!(given, PromptInput::Chat(_)) && self.chat.is_none() {
            sampling.stops.tokens.extend(self.reader.turn_end().map_err(message)?);
            sampling.stops.at_eos |= self.model.denoiser.vocabulary().eos().is_some();
        }
        let is_common = !request.has_settings() && sampling.stops == self.sampling.stops;
        let generator = match is_common {
            true => common.clone(),
            false => self.generator(bare, &sampling).map_err(message)?,
        };
        let (index, sample) = job.place;
        let (seed, stream) = match request.seed {
            Some(seed) => (seed, u64::from(sample)),
            None => (self.seed, index as u64 * u64::from(self.samples) + u64::from(sample)),
        };
        let generator = generator.streams(move |_| Box::new(SeededStream::new(seed, stream)));
        let length = request.gen_length.or(self.gen_length);
        let canvas = self.reader.canvas(&given, length).map_err(message)?;
        let stops = sampling.stops.texts(self.model).map_err(message)?;
        Ok(Ready { place: job.place, request, canvas, generator, stops })
    }

    fn generator(&self, bare: &Generator, sampling: &Sampling) -> Result<Generator, Error> {
        let base = sampling.set(bare.clone(), self.model)?;
        sampling.on(base, self.model, self.strategy, |strategy| strategy)
    }

    /// Runs a batch to its end. If the model fails on the batch, runs its sequences one by one.
    fn batch(
        &self,
        common: &Generator,
        ready: &[Ready<'_>],
        cancel: &CancelToken,
        reply: &mut dyn FnMut(Reply) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        let mut run = common.start(Vec::new())?.cancelled_by(cancel.clone());
        let mut running = Vec::new();
        for job in ready {
            match run.add_with(job.canvas.clone(), &job.generator) {
                Ok(sequence) => running.push((sequence, job)),
                Err(error) => reply(Reply::failed(job.place, job.request.id.clone(), error))?,
            }
        }
        while !run.is_done() {
            let stepped = run.step_observed(&mut ());
            let mut left = Vec::new();
            for (sequence, job) in running {
                match run.take(sequence) {
                    None => left.push((sequence, job)),
                    Some(Ok(output)) if output.finish.is_early() => {}
                    Some(outcome) => reply(self.reply(job, outcome))?,
                }
            }
            running = left;
            match (stepped, running.len()) {
                (Ok(()), _) => {}
                (Err(error), 1) => {
                    let job = running[0].1;
                    reply(Reply::failed(job.place, job.request.id.clone(), error))?;
                    break;
                }
                (Err(_), _) => {
                    drop(run);
                    for (_, job) in running {
                        if self.batch(common, std::slice::from_ref(job), cancel, reply)?
                            == Outcome::Cancelled
                        {
                            return Ok(Outcome::Cancelled);
                        }
                    }
                    return Ok(Outcome::Done);
                }
            }
        }
        Ok(if cancel.is_cancelled() { Outcome::Cancelled } else { Outcome::Done })
    }

    fn reply(&self, job: &Ready<'_>, outcome: Result<Output, conjoint::Error>) -> Reply {
        let made = outcome
            .map_err(Error::from)
            .and_then(|output| Reply::of(job.place, job.request, &output, self.model, &job.stops));
        made.unwrap_or_else(|error| Reply::failed(job.place, job.request.id.clone(), error))
    }
}
