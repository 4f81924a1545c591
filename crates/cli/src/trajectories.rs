//! `conjoint trajectories`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint_lab::prompt::PromptReader;
use conjoint_lab::{Error, Model, requests, text_files};
use conjoint_trajectory::{GivenText, Partition, Plan, Sampled, ShardIndex, Source, Store, Texts};

use crate::flag::{InvalidArgument, PLAIN, parsed, with_flag};
use crate::model::ModelArguments;
use crate::numbers::{count, integer};
use crate::progress::Steps;

/// Sample texts one token at a time, with the order of their tokens, to train a sampler layer
///
/// A trajectory is an exact sample of the frozen model, drawn in the order of lowest entropy. Texts that continue a prompt have
/// --length positions: one that ends early is padded with end-of-sequence tokens. Texts with holes (--prompts) have lengths of
/// their own. Writes Parquet files with the columns index, prompt_len, tokens and order.
///
/// Trajectory i depends only on the model, the settings and i, not on batches, files or shards. The same command resumes an
/// interrupted folder. A larger --num extends it. Several processes can fill one folder:
///
///     conjoint trajectories --model models/tiny --num 4000 --length 48 --out runs/own --shard 2/8
///
/// With --joint K the sampler layer draws K tokens per forward, in its own order. A layer that is trained further on these
/// learns to continue after its own mistakes.
///
/// With --texts the trajectories have given texts, in the order in which the model would reveal them.
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    start: StartArguments,
    /// Folder of the trajectories. One with the same settings is resumed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of trajectories in the folder, all shards together [default with --texts: one per text]
    #[arg(long, value_name = "N", required_unless_present = "texts",
          value_parser = integer(1..=1_000_000_000_u64))]
    num: Option<u64>,
    /// Divide the logits by T [default: 1]
    #[arg(long, value_name = "T", conflicts_with = "texts")]
    temperature: Option<f64>,
    /// Keep only the most probable tokens whose probabilities sum to more than P [default: all]
    #[arg(long, value_name = "P", conflicts_with = "texts")]
    top_p: Option<f64>,
    /// Draw K tokens per forward with the sampler layer. Several K, separated by commas, alternate. With K = 1 and the same
    /// --seed, the trajectories equal those of the frozen model: use another --seed
    #[arg(long, value_name = "K,…", value_delimiter = ',', conflicts_with = "texts",
          value_parser = count::<1, 1000000>)]
    joint: Vec<usize>,
    /// Use the sampler layer of the export in this folder [default: the model's own layer]
    #[arg(long, value_name = "DIR", requires = "joint")]
    sampler: Option<PathBuf>,
    /// Seed of the draws. Trajectory i draws from stream i of the seed
    #[arg(long, value_name = "S", default_value_t = 0, conflicts_with = "texts",
          value_parser = integer(0..=u64::MAX))]
    seed: u64,
    /// Make only part I of N equal parts, for other processes to make the others
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parsed::<ShardIndex>)]
    shard: ShardIndex,
    /// Trajectories per file. An interrupted process loses at most one file
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = integer(1..=u32::MAX))]
    per_file: u32,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = integer(1..=u16::MAX))]
    batch_size: u16,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// The beginnings, the length and the blocks of trajectories.
#[derive(Args)]
pub struct StartArguments {
    /// Positions of a trajectory, its prompt included [default: the model's largest length]
    #[arg(long, value_name = "L", value_parser = integer(2..=1_000_000_u32))]
    length: Option<u32>,
    /// Prompt to continue. May be repeated; the prompts are used in turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// File of prompts to continue, in turn: one per line, with \n for a line break, or the "prompt" of each object of a .jsonl
    /// file. A file with "infill" or "infill_ids" has texts with holes, as for `conjoint generate --prompts`; seeds in it are not used
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompts: Option<PathBuf>,
    /// File of texts to use instead of sampling, padded with end-of-sequence tokens: one per line, or the "text" of each object of
    /// a .jsonl file, after its "prompt" if it has one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompts"])]
    texts: Option<PathBuf>,
    /// Reveal in blocks of B tokens, from left to right, and by lowest entropy within a block [default: one block]
    #[arg(long, value_name = "B", value_parser = count::<1, 1048576>)]
    block_length: Option<usize>,
}

impl StartArguments {
    /// The block length, or `None` for one block.
    pub fn block_length(&self) -> Option<usize> {
        self.block_length
    }

    /// The source of the trajectories. `prompts` are the prompts without a flag; `drawn` sets how samples are drawn.
    pub fn source(
        &self,
        model: &Model,
        seed: u64,
        prompts: &[String],
        drawn: impl Fn(Sampled) -> Result<Sampled, InvalidArgument>,
    ) -> Result<Box<dyn Source>> {
        let named = |error: Error| PLAIN.error(error);
        let vocabulary = model.denoiser.vocabulary();
        let length = model.positions(self.length).map_err(named)?;
        if let Some(path) = &self.texts {
            let text = |(prompt, text): (String, String)| {
                let mut tokens = encode_prompt(model, "texts", &prompt)?;
                let prompt_len = tokens.len();
                tokens.extend(encode(model, "texts", &text)?);
                Ok(GivenText { tokens, prompt_len })
            };
            let texts = text_files::texts(path).map_err(named)?.into_iter().map(text);
            let texts = texts.collect::<Result<_, Error>>().map_err(named)?;
            let texts = Texts::new(texts, length, vocabulary);
            let texts = with_flag("--texts", path.display(), texts)?;
            return Ok(match self.block_length {
                None => Box::new(texts),
                Some(b) => Box::new(with_flag("--block-length", b, texts.block_length(b))?),
            });
        }
        if let Some(path) = &self.prompts
            && let Some(canvases) =
                requests::canvases(path, &PromptReader::new(model)).map_err(named)?
        {
            let sampled = self.infilled(model, path, &canvases, seed)?;
            return Ok(Box::new(drawn(self.in_blocks(sampled)?)?));
        }
        let (name, value, given) = match &self.prompts {
            Some(path) => {
                let prompts = text_files::prompts(path).map_err(named)?;
                ("prompts", path.display().to_string(), prompts)
            }
            None if self.prompt.is_empty() => ("length", length.to_string(), prompts.to_owned()),
            None => ("prompt", self.prompt.join(", "), self.prompt.clone()),
        };
        let ids = given.iter().map(|prompt| encode_prompt(model, name, prompt));
        let ids = ids.collect::<Result<_, Error>>().map_err(named)?;
        let sampled =
            with_flag(&format!("--{name}"), value, Sampled::new(ids, length, seed, vocabulary))?;
        Ok(Box::new(drawn(self.in_blocks(sampled)?)?))
    }

    fn in_blocks(&self, sampled: Sampled) -> Result<Sampled, InvalidArgument> {
        match self.block_length {
            None => Ok(sampled),
            Some(b) => with_flag("--block-length", b, sampled.block_length(b)),
        }
    }

    /// Texts with holes to fill.
    fn infilled(
        &self,
        model: &Model,
        path: &Path,
        canvases: &[Canvas],
        seed: u64,
    ) -> Result<Sampled> {
        let reason = "the texts of --prompts have holes, which set where tokens are drawn";
        if let Some(length) = self.length {
            return Err(InvalidArgument::unused("--length", length, reason).into());
        }
        let canvases = canvases.iter().map(|canvas| canvas.tokens().to_vec()).collect();
        let sampled = Sampled::from_canvases(canvases, seed, model.denoiser.vocabulary());
        Ok(with_flag("--prompts", path.display(), sampled)?)
    }
}

/// The tokens of a prompt. An empty prompt has none, and needs no tokenizer.
fn encode_prompt(model: &Model, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
    if text.is_empty() { Ok(Vec::new()) } else { model.prompt(name, text) }
}

/// The tokens of a text. An empty text has none, and needs no tokenizer.
fn encode(model: &Model, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
    if text.is_empty() { Ok(Vec::new()) } else { model.encode(name, text) }
}

/// Makes the missing ones of `portions.count` trajectories in the folder of `flag`. Returns the numbers of trajectories and
/// tokens made.
pub fn make(
    model: &Model,
    source: &dyn Source,
    (flag, folder): (&'static str, &Path),
    portions: &Partition,
    quiet: bool,
) -> Result<(Store, (u64, u64))> {
    if folder.exists() && !folder.is_dir() {
        let reason = "it is a file, expected a folder";
        return Err(InvalidArgument::new(flag, folder.display(), reason).into());
    }
    let settings = source.settings().with("model", model.fingerprint());
    let store = Store::claim(folder, settings).map_err(|error| match error {
        conjoint_trajectory::Error::OtherSetting { .. } => {
            InvalidArgument::new(flag, folder.display(), error).into()
        }
        error => anyhow::Error::from(error),
    })?;
    let plan = Plan::new(&store, source, portions)?;
    let made = (plan.trajectories(), plan.reveals());
    let denoiser: Arc<dyn Denoiser> = model.denoiser.clone();
    match quiet {
        true => plan.run(&denoiser, &mut ())?,
        false => plan.run(&denoiser, &mut Steps::tokens(made.1, "trajectories"))?,
    }
    Ok((store, made))
}

/// The sampler layer that draws, with its fingerprint. None if the frozen model draws.
fn drawing_layer(
    arguments: &Arguments,
    model: &Model,
) -> Result<Option<(Arc<dyn SamplerLayer>, String)>> {
    if arguments.joint.is_empty() {
        return Ok(None);
    }
    let other = arguments.sampler.as_deref();
    let layer = model.sampler_layer(other).map_err(|error| PLAIN.error(error))?.ok_or_else(|| {
        let reason = "the model was exported without a sampler layer: give an export that has one with --sampler";
        InvalidArgument::new("--joint", listed(&arguments.joint), reason)
    })?;
    Ok(Some((layer, model.layer_fingerprint(other)?)))
}

fn listed(each: &[usize]) -> String {
    each.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let model = arguments.model.open()?;
    let layer = drawing_layer(arguments, &model)?;
    let drawn = |mut sampled: Sampled| {
        if let Some(t) = arguments.temperature {
            sampled = with_flag("--temperature", t, sampled.temperature(t))?;
        }
        if let Some(p) = arguments.top_p {
            sampled = with_flag("--top-p", p, sampled.top_p(p))?;
        }
        if let Some((layer, named)) = &layer {
            let each = arguments.joint.clone();
            sampled =
                with_flag("--joint", listed(&each), sampled.joint(layer.clone(), named, each))?;
        }
        Ok(sampled)
    };
    let no_prompt = [String::new()];
    let source = arguments.start.source(&model, arguments.seed, &no_prompt, drawn)?;
    let unlimited =
        || InvalidArgument::missing("--num", "give the number of trajectories to sample");
    let count = arguments.num.or(source.len()).ok_or_else(unlimited)?;
    if let Some(most) = source.len().filter(|&most| count > most) {
        let reason = format!("the file of --texts has {most}");
        return Err(InvalidArgument::new("--num", count, reason).into());
    }
    let portions = Partition {
        count,
        per_file: arguments.per_file.into(),
        batch: arguments.batch_size.into(),
        share: arguments.shard,
    };
    let start = Instant::now();
    let made = make(&model, &*source, ("--out", &arguments.out), &portions, arguments.quiet)?;
    let (_, (made, tokens)) = made;
    let (seconds, out) = (start.elapsed().as_secs_f64(), arguments.out.display());
    let rate = tokens as f64 / seconds.max(1e-9);
    let line =
        format!("{made} trajectories made in {seconds:.1} s ({rate:.0} tokens/s), kept in {out}");
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
