//! Generating many sequences at once.

use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::{SeededStream, StopText};
use conjoint_lab::prompt::PromptInput;
use conjoint_lab::{Error, Model};
use pyo3::prelude::*;

use crate::error::{exception, warn};
use crate::result::{GenerationResult, Place};
use crate::settings::Settings;

/// A sequence to generate.
pub struct Job {
    place: Place,
    canvas: Canvas,
    generator: Generator,
    stops: Arc<Vec<StopText>>,
}

/// A generator for plain prompts, or for chats, with its stops.
type Made = (Generator, Arc<Vec<StopText>>);

/// Makes the sequences of prompts, each with its own random stream, and a run without sequences.
///
/// # Errors
/// Those of the settings and the prompts.
pub fn prepare(
    model: &Arc<Model>,
    settings: &Settings,
    prompts: &[PromptInput],
    samples: usize,
    first_stream: u64,
) -> Result<(Run, Vec<Job>), Error> {
    let bare = settings.sampling.bare(model, None)?;
    let reader = settings.reader(model);
    let mut plain: Option<Made> = None;
    let mut chat: Option<Made> = None;
    let mut jobs = Vec::with_capacity(prompts.len() * samples);
    for (prompt, input) in prompts.iter().enumerate() {
        let is_chat = matches!(input, PromptInput::Chat(_));
        let made = if is_chat { &mut chat } else { &mut plain };
        let (generator, stops) = match made {
            Some(made) => made,
            None => {
                let mut sampling = settings.sampling.clone();
                if is_chat {
                    // A sequence ends with the turn.
                    sampling.stops.tokens.extend(reader.turn_end()?);
                    sampling.stops.at_eos |= model.denoiser.vocabulary().eos().is_some();
                }
                let (unmasker, schedule, reviser) = &settings.strategy;
                let parts = (unmasker, schedule, reviser.as_ref());
                let base = sampling.set(bare.clone(), model)?;
                let generator = sampling.on(base, model, parts, |strategy| strategy)?;
                made.insert((generator, Arc::new(sampling.stops.texts(model)?)))
            }
        };
        let canvas = reader.canvas(input, settings.gen_length);
        let canvas = canvas.map_err(|error| of_prompt(error, prompt, prompts.len()))?;
        for sample in 0..samples {
            let stream = first_stream.wrapping_add((prompt * samples + sample) as u64);
            let seed = settings.seed;
            let generator =
                generator.clone().streams(move |_| Box::new(SeededStream::new(seed, stream)));
            let (place, canvas) = (Place { prompt, sample, stream }, canvas.clone());
            jobs.push(Job { place, canvas, generator, stops: stops.clone() });
        }
    }
    let mut run = settings.sampling.set(bare, model)?.start(Vec::new())?;
    for job in &jobs {
        let added = run.add_with(job.canvas.clone(), &job.generator);
        added.map_err(|error| settings.explain(error))?;
    }
    Ok((run, jobs))
}

/// Adds which one of several prompts it was.
fn of_prompt(error: Error, prompt: usize, of: usize) -> Error {
    match error {
        Error::Parameter { name, value, reason } if of > 1 => {
            Error::Parameter { name, value, reason: format!("{reason} (prompts[{prompt}])") }
        }
        error => error,
    }
}

/// Generates all sequences. Signals of Python are handled between steps.
pub fn generate(
    py: Python<'_>,
    model: &Arc<Model>,
    settings: &Settings,
    prompts: &[PromptInput],
    samples: usize,
) -> PyResult<Vec<GenerationResult>> {
    let prepared = py.detach(|| prepare(model, settings, prompts, samples, 0));
    let (mut run, jobs) = prepared.map_err(exception)?;
    while !run.is_done() {
        let stepped = py.detach(|| run.step_observed(&mut ()));
        py.check_signals()?;
        stepped.map_err(|error| settings.explained(error))?;
    }
    let mut results = Vec::with_capacity(jobs.len());
    let (mut failures, mut first) = (0, None);
    for (index, job) in jobs.iter().enumerate() {
        match run.take(index) {
            Some(Ok(output)) => {
                results.push(job.result(py, model, &output)?);
            }
            Some(Err(error)) => {
                let error = settings.explained(error);
                results.push(GenerationResult::failed(py, job.place, &error));
                failures += 1;
                first.get_or_insert(error);
            }
            // Every sequence of a finished run has an outcome.
            None => {}
        }
    }
    match first {
        None => Ok(results),
        Some(error) if failures == jobs.len() => Err(error),
        Some(_) => {
            let of = jobs.len();
            warn(py, format!("{failures} of {of} sequences failed: see `error` of each result"))?;
            Ok(results)
        }
    }
}

impl Job {
    /// The result of the finished sequence.
    pub fn result(
        &self,
        py: Python<'_>,
        model: &Model,
        output: &Output,
    ) -> PyResult<GenerationResult> {
        GenerationResult::of(py, self.place, model, &self.stops, output)
    }
}
