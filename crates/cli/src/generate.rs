//! `conjoint generate`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use conjoint::StopText;
use conjoint::prelude::*;
use conjoint::trace::{Page, Trace};
use conjoint_lab::prompt::{PromptInput, PromptReader, comma_separated};
use conjoint_lab::registry::{
    Line, Part, ReviserSpec, ScheduleSpec, UnmaskerSpec, Uses, reject_unused,
};
use conjoint_lab::requests::{RequestRunner, Shard, completion, finish_reason};
use conjoint_lab::{Error, GenerationConfig, Model, Sampling};
use serde::Serialize;

use crate::flag::{self, InvalidArgument, PLAIN};
use crate::interrupt::{self, Interrupted};
use crate::many::{self, Failed};
use crate::model::ModelArguments;
use crate::names;
use crate::progress::Steps;
use crate::prompt::{PromptArguments, Source};
use crate::sampling::SamplingArguments;
use crate::visible::printed;

/// Generate text or token ids with an exported model
///
/// Some examples: a strategy for a budget; four tokens per step, from one full forward and three sampler passes; an answer in
/// a chat; and many prompts, which the same command continues if it was stopped:
///
///     conjoint generate --model models/tiny --prompt "<story>the old" --gen-length 40 --preset fast
///     conjoint generate --model models/tiny --prompt "<story>the old" --gen-length 40
///         --unmasker joint --schedule per-step:4
///     conjoint generate --model DIR --chat "Who are you?" --system "Be brief." --gen-length 128 --defaults model
///     conjoint generate --model DIR --prompts questions.jsonl --out answers.jsonl --gen-length 128 --stop-at-eos
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
    /// How positions get their tokens (`conjoint strategies` lists all) [default: exact]
    #[arg(long, value_name = "UNMASKER", value_parser = names::unmasker)]
    unmasker: Option<UnmaskerSpec>,
    /// How many tokens a step reveals: per-step:K, dream:STEPS, llada:STEPS, threshold:TAU and more; or a policy that
    /// says where too: klass, demask, slow-fast and more (`conjoint strategies` lists all) [default: per-step:1]
    #[arg(long, value_name = "SCHEDULE", value_parser = names::schedule)]
    schedule: Option<ScheduleSpec>,
    /// What is taken back: wino, edit, rcr, remdm and more (`conjoint strategies` lists all) [default: nothing]
    #[arg(long, value_name = "REVISER", value_parser = names::reviser)]
    revise: Option<ReviserSpec>,
    /// Where flags that are not given take their values from: model is the checkpoint's generation_config.json (steps, alg,
    /// alg_temp, eps, temperature, top_p, top_k, max_new_tokens, and an end at its end-of-sequence tokens), which is shown;
    /// none says nothing of them [default: they are mentioned, where there are any]
    #[arg(long, value_name = "WHOSE")]
    defaults: Option<Defaults>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Seed of all randomness; sample i draws from stream i of it
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// How many samples to generate, of each prompt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    num_samples: u32,
    /// Print only what was generated, not what was given
    #[arg(long)]
    no_echo: bool,
    /// Print one JSON object: tokens, texts, why each sequence ended, and calls
    #[arg(long)]
    json: bool,
    /// Add the canvas after every denoising step to the JSON object
    #[arg(long, requires = "json")]
    history: bool,
    /// Write a page that replays the run call by call: which token, when, how sure, revoked or not.
    /// It is one file, needs no network, and is read with any browser, on a phone too
    #[arg(long, value_name = "FILE.html")]
    trace: Option<PathBuf>,
    /// With --prompts, the file of replies, a JSON object a line as soon as it is there: index, sample, id, prompt_tokens,
    /// completion, tokens, finish_reason (length, eos, stop, error), denoiser_calls, sampler_calls and error. The same command
    /// continues a run that was stopped; FILE.run, beside it, holds the settings [default: the standard output]
    #[arg(long, value_name = "FILE.jsonl", requires = "prompts")]
    out: Option<PathBuf>,
    /// With --prompts, only part I of N; the replies of all parts, one after the other, are those of one run
    #[arg(long, value_name = "I/N", requires = "prompts", default_value_t = Shard::default())]
    shard: Shard,
}

/// Whose defaults.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Defaults {
    /// The checkpoint's.
    Model,
    /// Nobody's.
    None,
}

#[derive(Serialize)]
struct Report {
    sequences: Vec<SequenceReport>,
    seconds: f64,
}

#[derive(Serialize, Default)]
struct SequenceReport {
    tokens: Vec<TokenId>,
    text: Option<String>,
    prompt_tokens: usize,
    completion: Option<String>,
    finish_reason: &'static str,
    denoiser_calls: usize,
    steps: usize,
    sampler_calls: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Vec<TokenId>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Unmasker, schedule and reviser.
type Strategy = (UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>);

/// All that the flags say of how to sample.
struct Settings {
    sampling: Sampling,
    strategy: Strategy,
    gen_length: Option<u32>,
    /// Prints what was generated alone.
    no_echo: bool,
    /// What the checkpoint recommends, once the model is open.
    about_defaults: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let source = arguments.prompt.source()?;
    let chat = arguments.prompt.chat()?;
    let mut settings = settings(arguments)?;
    match source {
        Source::One(given) => {
            if settings.gen_length.is_none() && !arguments.prompt.has_holes() {
                let reason = "say how many tokens to generate";
                return Err(InvalidArgument::missing("--gen-length", reason).into());
            }
            let page = arguments.trace.as_ref();
            let page = page.map(|path| traced(path, Page::create(path))).transpose()?;
            let model = arguments.model.open()?;
            let reading = arguments.prompt.reading(&model);
            settings.settle(chat.is_some(), &model, &reading)?;
            one(arguments, &settings, (&model, &reading), &given, page)
        }
        Source::Many(path) => {
            for (flag, is_given) in [
                ("--json", arguments.json),
                ("--trace", arguments.trace.is_some()),
                ("--no-echo", arguments.no_echo),
            ] {
                if is_given {
                    let reason = "--prompts has replies of its own: see --out";
                    return Err(InvalidArgument::unused(flag, "", reason).into());
                }
            }
            let requests = many::requests(path)?;
            let model = arguments.model.open()?;
            let reading = arguments.prompt.reading(&model);
            settings.settle(chat.is_some(), &model, &reading)?;
            let (unmasker, schedule, reviser) = &settings.strategy;
            let answering = RequestRunner {
                model: &model,
                sampling: &settings.sampling,
                strategy: (unmasker, schedule, reviser.as_ref()),
                reading: &reading,
                chat: chat.as_deref(),
                gen_length: settings.gen_length,
                seed: arguments.seed,
                samples: arguments.num_samples,
                shard: arguments.shard,
            };
            many::answer(&answering, &requests, arguments.out.as_deref())
        }
    }
}

impl Settings {
    /// Settles what takes an open model: in a chat, a sequence ends with the turn.
    fn settle(&mut self, is_chat: bool, model: &Model, reading: &PromptReader<'_>) -> Result<()> {
        if let Some(said) = &self.about_defaults {
            eprintln!("{said}");
        }
        if !is_chat {
            return Ok(());
        }
        let stops = &mut self.sampling.stops;
        let end = reading.turn_end().map_err(|error| PLAIN.name(error))?;
        stops.tokens.extend(end);
        stops.at_eos |= model.denoiser.vocabulary().eos().is_some();
        self.no_echo = true;
        Ok(())
    }
}

/// What the flags say, and the checkpoint where they are silent and it is asked.
fn settings(arguments: &Arguments) -> Result<Settings> {
    let named = |error: Error| PLAIN.name(error);
    let mut sampling = arguments.sampling.settings();
    let mut gen_length = arguments.prompt.gen_length;
    let (mut unmasker, mut schedule, reviser) = match &arguments.preset {
        Some(line) => (Some(line.unmasker()), line.schedule(), line.reviser()),
        None => {
            (arguments.unmasker.as_ref(), arguments.schedule.as_ref(), arguments.revise.as_ref())
        }
    };
    let given = (sampling.clone(), gen_length, unmasker, schedule);
    let mut about_defaults = None;
    let recommended;
    let folder = &arguments.model.model;
    let is_there = folder.join("generation_config.json").is_file();
    let asked = arguments.defaults == Some(Defaults::Model);
    let config = match (asked, arguments.defaults) {
        (true, _) => Some(GenerationConfig::read(folder).map_err(named)?),
        // What nobody asks for may be damaged.
        (false, None) if is_there => GenerationConfig::read(folder).ok(),
        _ => None,
    };
    if let Some(config) = config {
        let mut shown = arguments.sampling.take_defaults(&config, &mut sampling);
        if let (None, Some(tokens)) = (gen_length, config.max_new_tokens)
            && !arguments.prompt.has_holes()
        {
            gen_length = Some(tokens);
            shown.push(format!("--gen-length {tokens}"));
        }
        let tokens = gen_length.unwrap_or(1);
        if let (None, None) = (unmasker, schedule)
            && let Some(strategy) = config.strategy(tokens).map_err(named)?
        {
            let parsed = (names::unmasker(&strategy.unmasker), names::schedule(&strategy.schedule));
            recommended = (parsed.0.map_err(named)?, parsed.1.map_err(named)?);
            (unmasker, schedule) = (Some(&recommended.0), Some(&recommended.1));
            shown.push(format!("--unmasker {} --schedule {}", recommended.0, recommended.1));
            shown.extend(arguments.sampling.take_order(&strategy, &mut sampling).map_err(named)?);
        }
        let shown = shown.join(" ");
        match (asked, shown.is_empty()) {
            (true, _) => about_defaults = Some(format!("defaults of the model: {shown}")),
            (false, true) => {}
            (false, false) => {
                about_defaults = Some(format!(
                    "the checkpoint recommends {shown} (--defaults model takes that, --defaults none is silent)"
                ));
                (sampling, gen_length, unmasker, schedule) = given;
            }
        }
    }
    let strategy = strategy((unmasker, schedule, reviser), &sampling).map_err(named)?;
    let no_echo = arguments.no_echo;
    Ok(Settings { sampling, strategy, gen_length, no_echo, about_defaults })
}

/// The strategy, once every flag has been found to be of use to it.
fn strategy(
    (unmasker, schedule, reviser): (
        Option<&UnmaskerSpec>,
        Option<&ScheduleSpec>,
        Option<&ReviserSpec>,
    ),
    sampling: &Sampling,
) -> Result<Strategy, Error> {
    let exact;
    let unmasker = match unmasker {
        Some(unmasker) => unmasker,
        None => {
            exact = names::unmasker("exact")?;
            &exact
        }
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

/// Generates samples of one sequence.
fn one(
    arguments: &Arguments,
    settings: &Settings,
    (model, reading): (&Arc<Model>, &PromptReader<'_>),
    given: &PromptInput,
    page: Option<Page>,
) -> Result<()> {
    let named = |error: Error| PLAIN.name(error);
    let Settings { sampling, strategy, gen_length, .. } = settings;
    let (unmasker, schedule, reviser) = strategy;
    let generator = sampling.generator(model, unmasker, schedule, reviser.as_ref());
    let generator = generator.map_err(named)?.seed(arguments.seed);
    let canvas = reading.canvas(given, *gen_length).map_err(named)?;
    let stops = sampling.stops.texts(model).map_err(named)?;
    let canvases = vec![canvas; arguments.num_samples as usize];

    let start = Instant::now();
    let explained = |error| named(sampling.explain(("schedule", schedule), error));
    let steps = Steps::new(&canvases, "generating");
    let history = arguments.history.then(History::default);
    let trace = page.is_some().then(|| Trace::new(caption(strategy, sampling, arguments.seed)));
    let mut observer = (steps, (history, trace));
    let cancel = interrupt::token();
    let run = generator.start(canvases).map_err(explained)?;
    let mut run = run.cancelled_by(cancel.clone());
    let mut broken = None;
    while !run.is_done() && broken.is_none() {
        broken = run.step_observed(&mut observer).err();
    }
    let outcomes: Vec<_> = (0..arguments.num_samples as usize)
        .filter_map(|sequence| run.take(sequence))
        .filter(|outcome| !outcome.as_ref().is_ok_and(|output| output.finish.is_early()))
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    let (_, (history, trace)) = observer;
    if let (Some(page), Some(trace), Some(path)) = (page, trace, &arguments.trace) {
        let piece = |token| model.tokenizer.as_ref()?.piece(token).ok();
        traced(path, page.write(&trace.html(piece)))?;
    }
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if failed > 0 && failed == outcomes.len() && !arguments.json {
        // Nothing was generated: what all say is the command's own error.
        let first = outcomes.into_iter().find_map(Result::err);
        return first.map_or(Ok(()), |error| Err(explained(error)));
    }
    if arguments.json {
        let sequences = outcomes.into_iter().enumerate().map(|(index, outcome)| {
            let history = history.as_ref().map(|history| history.of(index).to_vec());
            report(model, &stops, outcome, history)
        });
        let report = Report { sequences: sequences.collect::<Result<_, _>>()?, seconds };
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(model, &stops, settings, outcomes, seconds)?;
    }
    if let Some(error) = broken {
        return Err(explained(error));
    }
    if cancel.is_cancelled() {
        return Err(Interrupted(String::new()).into());
    }
    match failed {
        0 => Ok(()),
        failed => {
            let where_to_look =
                if arguments.json { "\"error\" of each says why" } else { "why is said above" };
            let of = arguments.num_samples as usize;
            Err(Failed { failed, of, where_to_look }.into())
        }
    }
}

/// Prints the texts, what went wrong with the others, and what it all took.
fn print(
    model: &Model,
    stops: &[StopText],
    settings: &Settings,
    outcomes: Vec<Result<Output, conjoint::Error>>,
    seconds: f64,
) -> Result<()> {
    let mut out = io::stdout().lock();
    let (mut drawn, mut forwards, mut passes) = (0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Ok(output) => {
                let text = show(model, stops, &output, settings.no_echo)?;
                writeln!(out, "{}", printed(&text))?;
                drawn += output.drawn;
                forwards = forwards.max(output.denoiser_calls);
                passes = passes.max(output.sampler_calls);
            }
            Err(error) => {
                let explained =
                    settings.sampling.explain(("schedule", &settings.strategy.1), error);
                eprintln!("error: {}", PLAIN.name(explained));
            }
        }
    }
    eprintln!(
        "{forwards} forwards and {passes} sampler passes a sequence, {drawn} tokens in {seconds:.2} s \
         ({:.1} tokens/s)",
        drawn as f64 / seconds,
    );
    Ok(())
}

/// Blames the flag for a page that cannot be written.
fn traced<T>(path: &Path, result: io::Result<T>) -> Result<T, InvalidArgument> {
    flag::with_flag("--trace", path.display(), result)
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
    stops: &[StopText],
    outcome: Result<Output, conjoint::Error>,
    history: Option<Vec<Vec<TokenId>>>,
) -> Result<SequenceReport, Error> {
    let output = match outcome {
        Ok(output) => output,
        Err(error) => {
            let (finish_reason, error) = ("error", Some(error.to_string()));
            return Ok(SequenceReport {
                finish_reason,
                error,
                history,
                ..SequenceReport::default()
            });
        }
    };
    let decode = |tokenizer: &Tokenizer| tokenizer.decode(&output.tokens);
    Ok(SequenceReport {
        text: model.tokenizer.as_ref().map(decode).transpose()?,
        prompt_tokens: output.generated.start,
        completion: completion(&output, model, stops)?,
        finish_reason: finish_reason(output.finish),
        denoiser_calls: output.denoiser_calls,
        steps: output.steps,
        sampler_calls: output.sampler_calls,
        history,
        error: None,
        tokens: output.tokens,
    })
}

/// A sequence for people: its text up to its end, or its ids where there is no tokenizer.
fn show(
    model: &Model,
    stops: &[StopText],
    output: &Output,
    no_echo: bool,
) -> Result<String, Error> {
    let Some(tokenizer) = &model.tokenizer else {
        let from = if no_echo { output.generated.start } else { 0 };
        return Ok(comma_separated(&output.text_tokens()[from..]));
    };
    let completion = completion(output, model, stops)?.unwrap_or_default();
    if no_echo {
        return Ok(completion);
    }
    Ok(match output.finish {
        // What fills up the rest was not drawn.
        FinishReason::Stop => {
            tokenizer.decode(&output.tokens[..output.generated.start])? + &completion
        }
        _ => tokenizer.decode(output.text_tokens())?,
    })
}
