//! `conjoint eval`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use conjoint::prelude::*;
use conjoint_corpus::Domain;
use conjoint_eval::Validity;
use serde::Serialize;

use crate::flag::{BadFlag, blame};
use crate::model::{Model, ModelArguments};
use crate::progress::Steps;
use crate::strategy::{SamplingArguments, ScheduleName, UnmaskerName};

/// Measure what share of a model's texts pass the corpus' own checks, strategy by strategy
///
/// Generates texts of the model's full length from nothing but a domain's tag, the four domains in
/// equal parts, and judges each by program. Shares come with 95 % Wilson intervals.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The strategies to compare
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,joint"
    )]
    unmaskers: Vec<UnmaskerName>,
    /// Tokens per step; `exact` always takes 1
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    k: Vec<u16>,
    /// Texts a strategy
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    num_samples: u32,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Also write eval.json, eval.md and the texts into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// One strategy's result.
#[derive(Serialize)]
struct Point {
    unmasker: String,
    k: usize,
    seed: u64,
    validity: Validity,
    denoiser_calls: f64,
    sampler_calls: f64,
    seconds: f64,
    #[serde(skip)]
    texts: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(out) = &arguments.out {
        let made = std::fs::create_dir_all(out);
        blame("--out", out.display(), made)?;
    }
    let model = arguments.model.open()?;
    let points = strategies(arguments)
        .into_iter()
        .map(|(unmasker, k)| point(arguments, &model, unmasker, k))
        .collect::<Result<Vec<_>>>()?;
    let table = table(&points);
    if let Some(out) = &arguments.out {
        let json = serde_json::to_string_pretty(&points)?;
        write(out, "eval.json", &json)?;
        write(out, "eval.md", &table)?;
        for point in &points {
            let name = format!("{}-{}.txt", point.unmasker, point.k);
            let lines = point.texts.iter().map(|text| text.replace('\n', "\\n") + "\n");
            write(out, &name, &lines.collect::<String>())?;
        }
    }
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

/// Every strategy with every K, `exact` but once.
fn strategies(arguments: &Arguments) -> Vec<(UnmaskerName, usize)> {
    let mut strategies = Vec::new();
    for &unmasker in &arguments.unmaskers {
        match unmasker {
            UnmaskerName::Exact => strategies.push((unmasker, 1)),
            _ => strategies.extend(arguments.k.iter().map(|&k| (unmasker, usize::from(k)))),
        }
    }
    strategies
}

fn point(arguments: &Arguments, model: &Model, unmasker: UnmaskerName, k: usize) -> Result<Point> {
    let generator = arguments.sampling.generator(model, unmasker, ScheduleName::PerStep(k))?;
    let canvases = canvases(model, arguments.num_samples as usize)?;
    let name = format!("{unmasker:?}").to_lowercase();
    let start = Instant::now();
    let mut bar = Steps::new(&canvases, &format!("{name}, {k} per step"));
    let outputs = generator.run(canvases, &mut bar)?;
    let seconds = start.elapsed().as_secs_f64();
    let texts = outputs.iter().map(|o| text(model, &o.tokens)).collect::<Result<Vec<_>>>()?;
    let mut validity = Validity::default();
    texts.iter().for_each(|text| validity.judge(text));
    let mean = |calls: fn(&Output) -> usize| {
        outputs.iter().map(calls).sum::<usize>() as f64 / outputs.len() as f64
    };
    Ok(Point {
        unmasker: name,
        k,
        seed: arguments.sampling.seed,
        validity,
        denoiser_calls: mean(|output| output.denoiser_calls),
        sampler_calls: mean(|output| output.sampler_calls),
        seconds,
        texts,
    })
}

/// `n` canvases of the model's full length, each given the tag of a domain.
fn canvases(model: &Model, n: usize) -> Result<Vec<Canvas>> {
    let length = model.denoiser.max_length().unwrap_or(48);
    let mask = model.denoiser.vocabulary().mask();
    let tags = Domain::ALL.map(|domain| model.encode("--model", domain.tag()));
    let tags = tags.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(tag) = tags.iter().find(|tag| tag.len() != 1) {
        let reason = format!("its tokenizer splits a domain's tag into {} tokens", tag.len());
        return Err(BadFlag::new("--model", "", reason).into());
    }
    let canvas = |i: usize| Ok(Canvas::new(&tags[i % tags.len()], length - 1, mask)?);
    (0..n).map(canvas).collect()
}

/// The text up to its end.
fn text(model: &Model, tokens: &[TokenId]) -> Result<String> {
    let eos = model.denoiser.vocabulary().eos();
    let end = tokens.iter().position(|&token| Some(token) == eos).unwrap_or(tokens.len());
    Ok(model.tokenizer("--model", "")?.decode(&tokens[..end])?)
}

fn table(points: &[Point]) -> String {
    let mut table = String::from(
        "| unmasker | K | n | texts right [95 %] | texts that parse | forwards | sampler passes | seconds |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for point in points {
        table += &format!(
            "| {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} |\n",
            point.unmasker,
            point.k,
            point.validity.right.n,
            point.validity.right,
            point.validity.parses,
            point.denoiser_calls,
            point.sampler_calls,
            point.seconds,
        );
    }
    table
}

/// Writes a file whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let target = folder.join(name);
    file.persist(&target).with_context(|| target.display().to_string())?;
    Ok(())
}
