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
use conjoint_lab::registry::{Line, ReviserSpec, ScheduleSpec, UnmaskerSpec};
use conjoint_lab::requests::{RequestRunner, Shard, completion, finish_reason};
use conjoint_lab::{Error, GenerationConfig, Model, Sampling};
use serde::Serialize;

use crate::flag::{self, InvalidArgument, PLAIN};
use crate::interrupt::{self, Interrupted};
use crate::model::ModelArguments;
use crate::names;
use crate::numbers::integer;
use crate::progress::Steps;
use crate::prompt::{PromptArguments, Source};
use crate::requests::{self, Failed};
use crate::sampling::SamplingArguments;
use crate::visible::printed;

/// Generate text or token ids with an exported model
///
/// The examples use a preset, four tokens per step (one full forward and three sampler passes), a chat, and a file of prompts.
/// The same command resumes an interrupted file.
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
    /// Strategy for a budget, instead of --unmasker, --schedule and --revise. Needs a sampler layer
    #[arg(long, value_name = "PRESET", value_parser = names::preset(), conflicts_with_all = ["unmasker", "schedule", "revise"])]
    preset: Option<Line>,
    /// How tokens are drawn: exact, marginal, confidence, joint and more (`conjoint strategies` lists all) [default: exact]
    #[arg(long, value_name = "UNMASKER", value_parser = names::unmasker)]
    unmasker: Option<UnmaskerSpec>,
    /// How many tokens a step reveals: per-step:K, dream:STEPS, llada:STEPS, threshold:TAU and more. A policy also selects
    /// where: klass, demask, slow-fast and more (`conjoint strategies` lists all) [default: per-step:1]
    #[arg(long, value_name = "SCHEDULE", value_parser = names::schedule)]
    schedule: Option<ScheduleSpec>,
    /// Which tokens are remasked or replaced: wino, edit, rcr, remdm and more (`conjoint strategies` lists all)
    /// [default: none]
    #[arg(long, value_name = "REVISER", value_parser = names::reviser)]
    revise: Option<ReviserSpec>,
    /// Source of the flags that are not given. model: the checkpoint's generation_config.json (steps, alg, alg_temp, eps,
    /// temperature, top_p, top_k, max_new_tokens, eos_token_id); the flags are printed. none: the defaults of this command
    /// [default: as `none`, but prints a note if the checkpoint recommends other values]
    #[arg(long, value_name = "SOURCE")]
    defaults: Option<Defaults>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Seed of the draws. Sample i draws from stream i of the seed
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = integer(0..=u64::MAX))]
    seed: u64,
    /// Number of samples of each prompt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = integer(1..=1_000_000_u32))]
    num_samples: u32,
    /// Print only the generated text, without the prompt
    #[arg(long)]
    no_echo: bool,
    /// Print one JSON object with tokens, texts, finish reasons, and numbers of forwards and sampler passes
    #[arg(long)]
    json: bool,
    /// Add the canvas after every denoising step to the JSON object
    #[arg(long, requires = "json")]
    history: bool,
    /// Write an HTML page that replays the run call by call: each token with its time, its probability, and whether it was
    /// remasked. The page is one file and loads nothing from the network
    #[arg(long, value_name = "FILE.html")]
    trace: Option<PathBuf>,
    /// File of replies to --prompts, one JSON object per line: index, sample, id, prompt_tokens, completion, tokens,
    /// finish_reason (length, eos, stop, error), denoiser_calls, sampler_calls and error. A reply is written as soon as its
    /// sequence is finished. The same command resumes an interrupted run; FILE.run beside it has the settings
    /// [default: standard output]
    #[arg(long, value_name = "FILE.jsonl", requires = "prompts")]
    out: Option<PathBuf>,
    /// Run only part I of N of --prompts. The replies of all parts, in their order, are those of one run
    #[arg(long, value_name = "I/N", requires = "prompts", default_value_t = Shard::default())]
    shard: Shard,
}

/// The source of flags that are not given.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Defaults {
    /// The checkpoint's generation_config.json
    Model,
    /// The defaults of this command
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

/// The sampling settings of the flags and the checkpoint.
struct Settings {
    sampling: Sampling,
    strategy: Strategy,
    gen_length: Option<u32>,
    /// Prints only the generated text.
    no_echo: bool,
    /// A note about the checkpoint's recommendations, to print once the model is open.
    defaults_note: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let source = arguments.prompt.source()?;
    let chat = arguments.prompt.chat()?;
    let mut settings = settings(arguments)?;
    match source {
        Source::Single(given) => {
            if settings.gen_length.is_none() && !arguments.prompt.has_holes() {
                let reason = "give the number of tokens to generate";
                return Err(InvalidArgument::missing("--gen-length", reason).into());
            }
            let page = arguments.trace.as_ref();
            let page = page.map(|path| page_error(path, Page::create(path))).transpose()?;
            let model = arguments.model.open()?;
            let reader = arguments.prompt.reader(&model);
            settings.finish(chat.is_some(), &model, &reader)?;
            generate_one(arguments, &settings, (&model, &reader), &given, page)
        }
        Source::Requests(path) => {
            for (flag, is_given) in [
                ("--json", arguments.json),
                ("--trace", arguments.trace.is_some()),
                ("--no-echo", arguments.no_echo),
            ] {
                if is_given {
                    let reason = "--prompts writes replies: see --out";
                    return Err(InvalidArgument::unused(flag, "", reason).into());
                }
            }
            let requests = requests::read(path)?;
            let model = arguments.model.open()?;
            let reader = arguments.prompt.reader(&model);
            settings.finish(chat.is_some(), &model, &reader)?;
            let (unmasker, schedule, reviser) = &settings.strategy;
            let runner = RequestRunner {
                model: &model,
                sampling: &settings.sampling,
                strategy: (unmasker, schedule, reviser.as_ref()),
                reader: &reader,
                chat: chat.as_deref(),
                gen_length: settings.gen_length,
                seed: arguments.seed,
                samples: arguments.num_samples,
                shard: arguments.shard,
            };
            requests::run(&runner, &requests, arguments.out.as_deref())
        }
    }
}

impl Settings {
    /// Sets what depends on the model: in a chat, a sequence ends with the turn.
    fn finish(&mut self, is_chat: bool, model: &Model, reader: &PromptReader<'_>) -> Result<()> {
        if let Some(note) = &self.defaults_note {
            eprintln!("{note}");
        }
        if !is_chat {
            return Ok(());
        }
        let stops = &mut self.sampling.stops;
        let end = reader.turn_end().map_err(|error| PLAIN.error(error))?;
        stops.tokens.extend(end);
        stops.at_eos |= model.denoiser.vocabulary().eos().is_some();
        self.no_echo = true;
        Ok(())
    }
}

/// The settings of the flags, completed by those of the checkpoint with `--defaults model`.
fn settings(arguments: &Arguments) -> Result<Settings> {
    let named = |error: Error| PLAIN.error(error);
    let mut sampling = arguments.sampling.settings();
    let mut gen_length = arguments.prompt.gen_length;
    let (mut unmasker, mut schedule, reviser) = match &arguments.preset {
        Some(line) => (Some(line.unmasker()), line.schedule(), line.reviser()),
        None => {
            (arguments.unmasker.as_ref(), arguments.schedule.as_ref(), arguments.revise.as_ref())
        }
    };
    let given = (sampling.clone(), gen_length, unmasker, schedule);
    let mut defaults_note = None;
    let recommended;
    let folder = &arguments.model.model;
    let has_config = folder.join("generation_config.json").is_file();
    let use_model = arguments.defaults == Some(Defaults::Model);
    let config = match (use_model, arguments.defaults) {
        (true, _) => Some(GenerationConfig::read(folder).map_err(named)?),
        // A damaged file matters only if it is used.
        (false, None) if has_config => GenerationConfig::read(folder).ok(),
        _ => None,
    };
    if let Some(config) = config {
        let mut flags = arguments.sampling.take_defaults(&config, &mut sampling);
        if let (None, Some(tokens)) = (gen_length, config.max_new_tokens)
            && !arguments.prompt.has_holes()
        {
            gen_length = Some(tokens);
            flags.push(format!("--gen-length {tokens}"));
        }
        let tokens = gen_length.unwrap_or(1);
        if let (None, None) = (unmasker, schedule)
            && let Some(strategy) = config.strategy(tokens).map_err(named)?
        {
            let registry = names::registry();
            let unmasker_spec = registry.unmasker(&strategy.unmasker).map_err(named)?;
            recommended = (unmasker_spec, registry.schedule(&strategy.schedule).map_err(named)?);
            (unmasker, schedule) = (Some(&recommended.0), Some(&recommended.1));
            flags.push(format!("--unmasker {} --schedule {}", recommended.0, recommended.1));
            flags.extend(arguments.sampling.take_order(&strategy, &mut sampling).map_err(named)?);
        }
        let flags = flags.join(" ");
        match (use_model, flags.is_empty()) {
            (true, _) => defaults_note = Some(format!("defaults of the model: {flags}")),
            (false, true) => {}
            (false, false) => {
                defaults_note = Some(format!(
                    "the checkpoint recommends {flags} (--defaults model uses them, --defaults none hides this note)"
                ));
                (sampling, gen_length, unmasker, schedule) = given;
            }
        }
    }
    let strategy = sampling.strategy(names::registry(), (unmasker, schedule, reviser));
    let strategy = strategy.map_err(named)?;
    let no_echo = arguments.no_echo;
    Ok(Settings { sampling, strategy, gen_length, no_echo, defaults_note })
}

/// Generates samples of one sequence.
fn generate_one(
    arguments: &Arguments,
    settings: &Settings,
    (model, reader): (&Arc<Model>, &PromptReader<'_>),
    given: &PromptInput,
    page: Option<Page>,
) -> Result<()> {
    let named = |error: Error| PLAIN.error(error);
    let Settings { sampling, strategy, gen_length, .. } = settings;
    let (unmasker, schedule, reviser) = strategy;
    let generator = sampling.generator(model, unmasker, schedule, reviser.as_ref());
    let generator = generator.map_err(named)?.seed(arguments.seed);
    let canvas = reader.canvas(given, *gen_length).map_err(named)?;
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
        page_error(path, page.write(&trace.html(piece)))?;
    }
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if failed > 0 && failed == outcomes.len() && !arguments.json {
        // All samples failed, so the first error is that of the command.
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
                if arguments.json { "see \"error\" of each" } else { "see the errors above" };
            let of = arguments.num_samples as usize;
            Err(Failed { failed, of, where_to_look }.into())
        }
    }
}

/// Prints the texts to standard output, the errors and the cost to standard error.
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
                let text = display(model, stops, &output, settings.no_echo)?;
                writeln!(out, "{}", printed(&text))?;
                drawn += output.drawn;
                forwards = forwards.max(output.denoiser_calls);
                passes = passes.max(output.sampler_calls);
            }
            Err(error) => {
                let explained =
                    settings.sampling.explain(("schedule", &settings.strategy.1), error);
                eprintln!("error: {}", PLAIN.error(explained));
            }
        }
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    eprintln!(
        "at most {forwards} forward{} and {passes} sampler pass{} per sequence, {drawn} token{} in {seconds:.2} s \
         ({:.1} tokens/s)",
        plural(forwards),
        if passes == 1 { "" } else { "es" },
        plural(drawn),
        drawn as f64 / seconds,
    );
    Ok(())
}

/// Names the flag of a page that cannot be written.
fn page_error<T>(path: &Path, result: io::Result<T>) -> Result<T, InvalidArgument> {
    flag::with_flag("--trace", path.display(), result)
}

/// A line with the settings, for the trace.
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

/// The printed form of a sequence: its text up to its end, or its ids without a tokenizer.
fn display(
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
        // The rest is padding.
        FinishReason::Stop => {
            tokenizer.decode(&output.tokens[..output.generated.start])? + &completion
        }
        _ => tokenizer.decode(output.text_tokens())?,
    })
}
