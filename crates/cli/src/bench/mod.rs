//! `conjoint bench`.

mod random_model;
mod random_tensor;
mod report;
mod sizes;
mod stopwatch;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use conjoint::prelude::*;
use conjoint::{SeededStream, Stream};

use crate::comparison::{Line, Lines, Setting};
use crate::flag::{BadFlag, blame};
use crate::model::{Model, ModelArguments};
use crate::progress::Steps;
use crate::sampling::SamplingArguments;
use crate::{files, info};
use random_tensor::Storage;
use report::{Repeat, Report, Run, median};
use stopwatch::Stopwatch;

/// Measure how fast strategies generate, and where each millisecond of a step goes
///
/// Random prompts are continued, in each strategy once to warm up and then --repeats times. Times are
/// those of the repeat whose time is the median. A step is one full forward with its sampler passes;
/// `sweep` is filtering rows and computing their statistics, `draw` ranking positions and drawing
/// tokens, `rest` everything else outside of ONNX Runtime.
///
///     conjoint bench --make-model 512,12,1408,8,2,32768 random
///     conjoint bench --model random --strategies exact,marginal,joint --k 4,8 --threads 2
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: Option<ModelArguments>,
    /// Write an exported model of these sizes with random weights and a random sampler layer, instead
    /// of measuring: D,LAYERS,FFN,HEADS,KV,VOCAB and the folder
    #[arg(long, num_args = 2, value_names = ["SIZES", "DIR"], conflicts_with_all = ["model", "strategies", "k", "prompt_length", "gen_length", "num_samples", "repeats", "json"])]
    make_model: Option<Vec<String>>,
    /// How such a model's weights are stored
    #[arg(long, value_name = "TYPE", default_value = "float32", conflicts_with = "model")]
    dtype: Storage,
    /// The strategies, each UNMASKER or UNMASKER+SCHEDULE (`conjoint strategies` lists both)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,joint"
    )]
    strategies: Vec<Line>,
    /// Tokens per step, where a strategy has that choice [default: 4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..))]
    k: Option<Vec<u16>>,
    /// Tokens of a prompt
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    prompt_length: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    gen_length: u32,
    /// Sequences, of as many prompts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    num_samples: u32,
    /// Times that each strategy is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Seed of prompts and draws, or of the weights of --make-model
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Write what was measured as JSON, prompts and generated tokens included
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some([sizes, folder]) = arguments.make_model.as_deref() {
        let parsed = blame("--make-model", sizes, sizes.parse())?;
        let folder = Path::new(folder);
        if folder.exists() {
            let shown = folder.display();
            return Err(BadFlag::new("--make-model", shown, "this folder exists already").into());
        }
        let manifest = random_model::write(&parsed, arguments.dtype, arguments.seed, folder)?;
        return info::print(folder, &manifest);
    }
    let missing = || BadFlag::missing("--model", "give a model to measure, or --make-model");
    let model = arguments.model.as_ref().ok_or_else(missing)?;
    let json = arguments.json.as_deref().map(|path| files::place("--json", path)).transpose()?;
    let report = measure(arguments, model)?;
    if let Some((folder, name)) = json {
        files::write(folder, name, &serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(std::io::stdout().write_all(report.table().as_bytes())?)
}

fn measure(arguments: &Arguments, from: &ModelArguments) -> Result<Report> {
    let lines = Lines {
        flag: "--strategies",
        lines: &arguments.strategies,
        k_flag: "--k",
        given: arguments.k.as_deref(),
        default: &[4, 8],
    };
    lines.check(&arguments.sampling, false)?;
    let model = from.open()?;
    let Arguments { prompt_length, gen_length, num_samples, repeats, seed, .. } = *arguments;
    fits(&model, prompt_length as usize, gen_length as usize)?;
    let prompts = prompts(&model, prompt_length as usize, num_samples, seed);
    let mask = model.denoiser.vocabulary().mask();
    let canvas = |prompt: &Vec<TokenId>| Canvas::new(prompt, gen_length as usize, mask);
    let canvases = prompts.iter().map(canvas).collect::<Result<Vec<_>, _>>()?;
    let mut runs = Vec::new();
    for (line, setting) in lines.points(gen_length as usize)? {
        runs.push(measure_one(arguments, &model, &canvases, line, &setting)?);
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Report {
        model: from.model.display().to_string(),
        provider: from.provider.to_string(),
        threads: from.threads.map_or_else(cores, usize::from),
        prompt_length,
        gen_length,
        num_samples,
        batch_size: arguments.sampling.batch_size,
        repeats,
        seed,
        sampling: arguments.sampling.description(),
        prompts,
        runs,
    })
}

/// Refuses lengths that the model has no positions for.
fn fits(model: &Model, prompt: usize, generated: usize) -> Result<(), BadFlag> {
    let Some(longest) = model.denoiser.max_length() else { return Ok(()) };
    if prompt >= longest {
        let reason = format!("it leaves none of the model's {longest} positions to generate");
        return Err(BadFlag::new("--prompt-length", prompt, reason));
    }
    let left = longest - prompt;
    if generated > left {
        let reason = format!(
            "after a prompt of {prompt} tokens (--prompt-length) the model has room for {left} of its \
             {longest} positions"
        );
        return Err(BadFlag::new("--gen-length", generated, reason));
    }
    Ok(())
}

/// Prompts of random ids, none of them special.
fn prompts(model: &Model, length: usize, n: u32, seed: u64) -> Vec<Vec<TokenId>> {
    let vocabulary = model.denoiser.vocabulary();
    let special = [Some(vocabulary.mask()), vocabulary.eos(), vocabulary.pad(), vocabulary.bos()];
    let plain: Vec<TokenId> =
        (0..vocabulary.size() as TokenId).filter(|&id| !special.contains(&Some(id))).collect();
    let prompt = |sequence: u32| {
        // Not the numbers that the draws are made from.
        let mut stream = SeededStream::new(!seed, sequence.into());
        (0..length).filter_map(|_| plain.get(stream.below(plain.len())).copied()).collect()
    };
    (0..n).map(prompt).collect()
}

fn measure_one(
    arguments: &Arguments,
    model: &Arc<Model>,
    canvases: &[Canvas],
    line: &Line,
    setting: &Setting,
) -> Result<Run> {
    let (strategy, setting_name) = (line.name(), setting.name());
    let watch = Stopwatch::default();
    let around = |strategy| watch.around(strategy);
    let (unmasker, schedule) = (line.unmasker(), setting.schedule());
    let sampling = &arguments.sampling;
    let generator = sampling.generator_around(model, "--strategies", unmasker, schedule, around)?;
    let generator = generator.seed(arguments.seed);
    let bar = Steps::spinner(&format!("{strategy} {setting_name}"));
    let repeat = || -> Result<(Repeat, Vec<Output>)> {
        let (canvases, mut observer) = (canvases.to_vec(), watch.clone());
        let (spent, outside, start) = (model.denoiser.spent(), watch.read(), Instant::now());
        let blame =
            |error| sampling.blame(("--strategies", &format!("{strategy} {schedule}")), error);
        let outputs = generator.run(canvases, &mut observer).map_err(blame)?;
        let time = start.elapsed();
        let (spent, outside) = (model.denoiser.spent() - spent, watch.read() - outside);
        Ok((Repeat { time, spent, outside }, outputs))
    };
    let (_, outputs) = repeat()?;
    let repeats = (0..arguments.repeats).map(|_| Ok(repeat()?.0)).collect::<Result<Vec<_>>>()?;
    drop(bar);
    let middle = median(&repeats).context("nothing was measured")?;
    let tokens = outputs.iter().map(|output| output.drawn).sum();
    let seconds = middle.time.as_secs_f64();
    Ok(Run {
        strategy,
        setting: setting_name,
        tokens,
        tokens_per_second: tokens as f64 / seconds,
        forwards: middle.spent.forwards.calls,
        sampler_passes: middle.spent.passes.calls,
        seconds,
        all_seconds: repeats.iter().map(|repeat| repeat.time.as_secs_f64()).collect(),
        step: middle.step(),
        pass_per_forward: middle.pass_per_forward(),
        outside: middle.outside(),
        sequences: outputs.into_iter().map(|output| output.tokens).collect(),
    })
}
