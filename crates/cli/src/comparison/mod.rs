//! Strategies side by side: texts generated, judged and costed, one resumable point after the other.

mod external;
mod lines;
mod metrics;
mod pass_cost;
mod texts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use conjoint::prelude::*;
use conjoint_eval::{Axis, Collection, Cost, Key, Plot, Point, Report, Settings};
use conjoint_trajectory::digest;

pub use lines::{Line, Lines, Setting};
pub use metrics::Metric;
pub use texts::TextArguments;

use crate::flag::blame;
use crate::model::{self, Model, ModelArguments};
use crate::progress::Steps;
use crate::registry::Part;
use crate::sampling::SamplingArguments;
use metrics::{Drawn, FEATURES, Judge};

/// What every comparison is told.
#[derive(Args)]
pub struct ComparisonArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    texts: TextArguments,
    /// Texts a point
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    num_samples: u32,
    /// Seeds; each makes a point of its own, and plots show their mean
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    external: external::ExternalArguments,
    /// The folder of the comparison: report.json, report.md and one SVG a figure. A comparison found
    /// there goes on where it stopped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs every line at every K and writes the report; returns its table.
pub fn run(
    arguments: &ComparisonArguments,
    lines: &Lines<'_>,
    metrics: &[Metric],
) -> Result<String> {
    let sampling = &arguments.sampling;
    lines.check(sampling, metrics.iter().any(|metric| metric.runs_exact()))?;
    arguments.external.check(metrics)?;
    let model = arguments.model.open()?;
    let (texts, n) = (&arguments.texts, arguments.num_samples as usize);
    // A folder may be told of more seeds later, so that it is the texts of seed 0 that make it what it is.
    let seeds: Vec<u64> = [&[0], &arguments.seeds[..]].concat();
    let prompts = texts.beginnings(&model, n, &seeds)?;
    let canvases = prompts.iter().map(|prompts| texts.canvases(&model, prompts, n));
    let canvases = canvases.collect::<Result<Vec<_>>>()?;
    let (any, canvases) = (&canvases[0], &canvases[1..]);
    let passes = sampling.passes(&model)? as f64;
    let points = points(lines, sampling, &model, canvases.iter().flatten())?;
    let mut judge = Judge::new(&model, sampling, metrics, lines.flag, &arguments.external)?;
    let length = any[0].free_span().len();
    let settings = settings(arguments, &model, (&prompts[0], length), metrics)?;
    let collection =
        blame("--out", arguments.out.display(), Collection::open(&arguments.out, &settings))?;
    let refines = lines.lines.iter().any(|line| line.unmasker().takes(Part::Sampler));
    let cost = match refines {
        false => 0.0,
        true => {
            let layer = model.sampler_layer(sampling.sampler.as_deref())?;
            let layer = layer.context("the model has no sampler layer")?;
            collection.pass_cost(|| pass_cost::measure(&model.denoiser, &*layer, any))?.value
        }
    };
    let mut keys = Vec::new();
    for (&seed, canvases) in arguments.seeds.iter().zip(canvases) {
        for ((strategy, parameter), generators) in &points {
            let (strategy, parameter) = (strategy.clone(), parameter.clone());
            let key = Key { strategy, parameter, seed };
            if keys.contains(&key) {
                continue;
            }
            let blame = |error| {
                sampling.blame((lines.flag, &format!("{} {}", key.strategy, key.parameter)), error)
            };
            collection.point(&key, || {
                let start = Instant::now();
                let outputs = outputs(generators, &key, canvases).map_err(blame)?;
                let seconds = start.elapsed().as_secs_f64();
                let drawn = Drawn { seed, canvases, outputs: &outputs };
                point(&key, drawn, seconds, cost * passes, &mut judge)
            })?;
            keys.push(key);
            // Whoever watches the folder sees the report grow.
            write_report(&arguments.out, &collection.report(&keys)?)?;
        }
    }
    let report = collection.report(&keys)?;
    report.pass_cost_line().iter().for_each(|line| eprintln!("{line}"));
    markdown(&report)
}

/// A strategy and its setting, with the generator for texts of each length: a total of steps depends on it.
type Points = Vec<((String, String), BTreeMap<usize, Generator>)>;

/// Every line with each of its settings. Whatever cannot work is said here, before hours are spent on what can, and
/// before the folder is claimed.
fn points<'c>(
    lines: &Lines<'_>,
    sampling: &SamplingArguments,
    model: &Arc<Model>,
    canvases: impl Iterator<Item = &'c Canvas>,
) -> Result<Points> {
    let mut by_length: BTreeMap<usize, Vec<Canvas>> = BTreeMap::new();
    for canvas in canvases {
        by_length.entry(canvas.free_span().len()).or_default().push(canvas.clone());
    }
    let mut points = Points::new();
    for (length, canvases) in by_length {
        for (place, (line, setting)) in lines.points(length)?.into_iter().enumerate() {
            let schedule = setting.schedule();
            let first: Option<&Generator> =
                points.get(place).and_then(|(_, generators)| generators.values().next());
            let generator = match first {
                None => sampling.generator(model, lines.flag, line.unmasker(), schedule)?,
                Some(first) => first.clone().schedule(schedule.schedule()),
            };
            let checked = generator.check(&canvases);
            checked.map_err(|error| {
                sampling.blame((lines.flag, &format!("{} {schedule}", line.name())), error)
            })?;
            if points.len() == place {
                points.push(((line.name(), setting.name()), BTreeMap::new()));
            }
            points[place].1.insert(length, generator);
        }
    }
    Ok(points)
}

/// The texts of a point.
fn outputs(
    generators: &BTreeMap<usize, Generator>,
    key: &Key,
    canvases: &[Canvas],
) -> Result<Vec<Output>, conjoint::Error> {
    let mut bar = Steps::new(canvases, &name(key));
    let seeded: BTreeMap<usize, Generator> =
        generators.iter().map(|(&length, each)| (length, each.clone().seed(key.seed))).collect();
    let request = |canvas: &Canvas| {
        let generator = &seeded[&canvas.free_span().len()];
        (canvas.clone(), generator.clone())
    };
    let Some(first) = seeded.values().next() else { return Ok(Vec::new()) };
    first.run_each(canvases.iter().map(request).collect(), &mut bar)
}

/// What a point is called beside its progress.
fn name(key: &Key) -> String {
    format!("{} {}, seed {}", key.strategy, key.parameter, key.seed)
}

/// A pass of the layer costs `cost` forwards.
fn point(
    key: &Key,
    drawn: Drawn<'_>,
    seconds: f64,
    cost: f64,
    judge: &mut Judge<'_>,
) -> Result<Point> {
    let outputs = drawn.outputs;
    let metrics = judge.figures(drawn, &name(key))?;
    Ok(Point {
        strategy: key.strategy.clone(),
        parameter: key.parameter.clone(),
        seed: key.seed,
        texts: outputs.len() as u64,
        tokens: outputs.iter().map(|output| output.drawn as u64).sum(),
        cost: Cost::of(outputs, cost)?,
        seconds,
        metrics,
    })
}

/// What makes a comparison what it is; a folder is not continued with anything else.
fn settings(
    arguments: &ComparisonArguments,
    model: &Model,
    (prompts, length): (&[Vec<TokenId>], usize),
    metrics: &[Metric],
) -> Result<Settings> {
    let scorer = arguments.sampling.scorer.as_ref();
    let scorer = scorer.map(|name| name.checksum("--scorer")).transpose()?;
    let settings = [
        ("weights", model.weights()),
        ("sampler", model::weights_of(arguments.sampling.sampler.as_deref())?),
        ("scorers' files", scorer.unwrap_or_default()),
        ("order's file", arguments.sampling.order_checksum()?.unwrap_or_default()),
        ("head", arguments.model.head.to_string()),
        ("length", length.to_string()),
        ("texts", arguments.num_samples.to_string()),
        ("prompts", digest(prompts.iter().map(Vec::as_slice))),
        ("sampling", arguments.sampling.description()),
        ("beginnings", arguments.texts.description().to_owned()),
        ("figures", format!("{metrics:?}")),
    ];
    let judge = ("external", arguments.external.description()?);
    let judged = metrics.contains(&Metric::ExternalNll);
    let checked = metrics.iter().any(|metric| matches!(metric, Metric::Right | Metric::Parses));
    let checks = checked.then(|| ("checks", conjoint_corpus::VERSION.to_string()));
    let settings = settings.into_iter().chain(judged.then_some(judge)).chain(checks);
    Ok(settings.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn markdown(report: &Report) -> Result<String> {
    let features = report.metrics().contains(&"MAUVE");
    let features = features.then(|| format!("\nMAUVE is on the {FEATURES}.\n"));
    Ok(report.markdown() + &features.unwrap_or_default() + &report.summary()?)
}

fn write_report(out: &Path, report: &Report) -> Result<()> {
    crate::files::write(out, "report.json", report.json()?.as_bytes())?;
    crate::files::write(out, "report.md", markdown(report)?.as_bytes())?;
    for name in report.metrics() {
        for (axis, suffix) in
            [(Axis::TokensPerForward, "tokens-per-forward"), (Axis::ForwardsPerToken, "cost")]
        {
            match Plot::new(name, axis).svg(report) {
                Ok(svg) => crate::files::write(out, &file(name, suffix), svg.as_bytes())?,
                // Points at infinity are left out, and nothing may be left.
                Err(conjoint_eval::Error::Empty(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The file of a figure's plot, such as `mauve-surprise-cost.svg`.
fn file(figure: &str, suffix: &str) -> String {
    let words = figure.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_lowercase).collect();
    format!("{}-{suffix}.svg", words.join("-"))
}
