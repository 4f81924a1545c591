//! `conjoint generate`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint::trace::{Page, Trace};
use conjoint_lab::registry::{
    Line, Part, ReviserSpec, ScheduleSpec, UnmaskerSpec, Uses, reject_unused,
};
use conjoint_lab::{Error, Model, Sampling};
use serde::Serialize;

use crate::flag::{self, BadFlag, PLAIN};
use crate::model::ModelArguments;
use crate::names;
use crate::progress::Steps;
use crate::prompt::{PromptArguments, comma_separated};
use crate::sampling::SamplingArguments;

/// Generate text or token ids with an exported model
///
/// Two examples: a strategy for a budget, and four tokens per step, from one full forward and three sampler passes:
///
///     conjoint generate --model models/tiny --prompt "<story>the old" --gen-length 40 --preset fast
///     conjoint generate --model models/tiny --prompt "<story>the old" --gen-length 40
///         --unmasker joint --schedule per-step:4
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    prompt: PromptArguments,
    /// A strategy for a budget, instead of --unmasker, --schedule and --revise; needs a sampler layer
    #[arg(long, value_name = "PRESET", value_parser = names::preset(), conflicts_with_all = ["unmasker", "schedule", "revise"])]
    preset: Option<Line>,
    /// How positions get their tokens (`conjoint strategies` lists all)
    #[arg(long, value_name = "UNMASKER", default_value = "exact", value_parser = names::unmasker)]
    unmasker: UnmaskerSpec,
    /// How many tokens a step reveals: per-step:K, dream:STEPS, llada:STEPS, threshold:TAU and more; or a policy that
    /// says where too: klass, demask, slow-fast and more (`conjoint strategies` lists all) [default: per-step:1]
    #[arg(long, value_name = "SCHEDULE", value_parser = names::schedule)]
    schedule: Option<ScheduleSpec>,
    /// What is taken back: wino, edit, rcr, remdm and more (`conjoint strategies` lists all) [default: nothing]
    #[arg(long, value_name = "REVISER", value_parser = names::reviser)]
    revise: Option<ReviserSpec>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Seed of all randomness; sample i draws from stream i of it
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// How many samples to generate
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    num_samples: u32,
    /// Print one JSON object: tokens, text, calls, and the canvas after every denoising step
    #[arg(long)]
    json: bool,
    /// Write a page that replays the run call by call: which token, when, how sure, revoked or not.
    /// It is one file, needs no network, and is read with any browser, on a phone too
    #[arg(long, value_name = "FILE.html")]
    trace: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    sequences: Vec<SequenceReport>,
    seconds: f64,
}

#[derive(Serialize)]
struct SequenceReport {
    tokens: Vec<TokenId>,
    text: Option<String>,
    denoiser_calls: usize,
    steps: usize,
    sampler_calls: usize,
    history: Vec<Vec<TokenId>>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let named = |error: Error| PLAIN.name(error);
    let sampling = arguments.sampling.settings();
    let strategy = strategy(arguments, &sampling).map_err(named)?;
    let page = arguments.trace.as_ref().map(|path| traced(path, Page::create(path))).transpose()?;
    let model = arguments.model.open()?;
    let (unmasker, schedule, reviser) = &strategy;
    let generator = sampling.generator(&model, unmasker, schedule, reviser.as_ref());
    let generator = generator.map_err(named)?;
    let generator = generator.seed(arguments.seed);
    let canvas = arguments.prompt.canvas(&model)?;
    let canvases = vec![canvas; arguments.num_samples as usize];

    let start = Instant::now();
    let steps = Steps::new(&canvases, "generating");
    let mut observer =
        (steps, (History::default(), Trace::new(caption(&strategy, &sampling, arguments.seed))));
    let outputs = generator.run(canvases, &mut observer);
    let outputs =
        outputs.map_err(|error| named(sampling.explain(("schedule", schedule), error)))?;
    let seconds = start.elapsed().as_secs_f64();
    let (_, (history, trace)) = observer;
    if let (Some(page), Some(path)) = (page, &arguments.trace) {
        let piece = |token| model.tokenizer.as_ref()?.piece(token).ok();
        traced(path, page.write(&trace.html(piece)))?;
    }

    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &report(&model, outputs, &history, seconds)?)?;
        writeln!(out)?;
        return Ok(());
    }
    for output in &outputs {
        writeln!(out, "{}", show(&model, output)?)?;
    }
    let drawn: usize = outputs.iter().map(|output| output.drawn).sum();
    let calls = |count: fn(&Output) -> usize| outputs.iter().map(count).max().unwrap_or(0);
    eprintln!(
        "{} forwards and {} sampler passes a sequence, {drawn} tokens in {seconds:.2} s \
         ({:.1} tokens/s)",
        calls(|output| output.denoiser_calls),
        calls(|output| output.sampler_calls),
        drawn as f64 / seconds,
    );
    Ok(())
}

/// Unmasker, schedule and reviser.
type Strategy = (UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>);

/// The strategy, once every flag has been found to be of use to it.
fn strategy(arguments: &Arguments, sampling: &Sampling) -> Result<Strategy, Error> {
    let (unmasker, schedule, reviser) = match &arguments.preset {
        Some(line) => (line.unmasker(), line.schedule(), line.reviser()),
        None => (&arguments.unmasker, arguments.schedule.as_ref(), arguments.revise.as_ref()),
    };
    let uses = [Uses { unmasker, scheduled: false }];
    sampling.check(&uses, false)?;
    let schedule = match schedule {
        None => ScheduleSpec::per_step(1)?,
        Some(schedule) => {
            reject_unused(("schedule", schedule), Part::Schedule, &uses)?;
            schedule.clone()
        }
    };
    unmasker.check(&schedule)?;
    Ok((unmasker.clone(), schedule, reviser.cloned()))
}

/// Blames the flag for a page that cannot be written.
fn traced<T>(path: &Path, result: io::Result<T>) -> Result<T, BadFlag> {
    flag::blame("--trace", path.display(), result)
}

/// How the sequences were made, for the trace.
fn caption((unmasker, schedule, reviser): &Strategy, sampling: &Sampling, seed: u64) -> String {
    let (order, temperature) = (sampling.order_name(), sampling.filters.temperature);
    let revised = reviser.as_ref().map_or_else(String::new, |r| format!(", revised by {r}"));
    format!(
        "{unmasker}, {schedule}{revised}, order {order}, temperature {temperature}, seed {seed}"
    )
}

fn report(
    model: &Model,
    outputs: Vec<Output>,
    history: &History,
    seconds: f64,
) -> Result<Report, TextError> {
    let sequence = |(index, output): (usize, Output)| {
        let decode = |tokenizer: &Tokenizer| tokenizer.decode(&output.tokens);
        Ok(SequenceReport {
            text: model.tokenizer.as_ref().map(decode).transpose()?,
            denoiser_calls: output.denoiser_calls,
            steps: output.steps,
            sampler_calls: output.sampler_calls,
            history: history.of(index).to_vec(),
            tokens: output.tokens,
        })
    };
    let sequences = outputs.into_iter().enumerate().map(sequence).collect::<Result<_, _>>()?;
    Ok(Report { sequences, seconds })
}

/// A sequence for people: its text, or its ids where there is no tokenizer.
fn show(model: &Model, output: &Output) -> Result<String, TextError> {
    match &model.tokenizer {
        Some(tokenizer) => tokenizer.decode(&output.tokens),
        None => Ok(comma_separated(&output.tokens)),
    }
}
