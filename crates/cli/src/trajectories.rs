//! `conjoint trajectories`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint_lab::{Error, Model, text_files};
use conjoint_trajectory::{GivenText, Partition, Plan, Sampled, ShardIndex, Source, Store, Texts};

use crate::flag::{InvalidArgument, PLAIN, with_flag};
use crate::model::ModelArguments;
use crate::numbers::count;
use crate::progress::Steps;

/// Sample texts of a frozen model one token at a time, with the order in which it revealed them
///
/// What a sampler layer is trained on: exact samples, lowest entropy first, of a fixed length, in which a
/// text that ends early is end-of-sequence tokens to the end. Trajectory i depends on the model, the
/// settings and i alone, so that neither batches, files, shards nor kills change it; a folder goes on where it was
/// interrupted, and grows with --num. Any number of processes may fill one folder:
///
///     conjoint trajectories --model models/tiny --num 4000 --length 48 --out runs/own --shard 2/8
///
/// With --joint K the sampler layer draws, K tokens a forward, and in its own order: what it is trained on further, so
/// that it learns from the frozen model what to do after mistakes of its own. Give several K to take them in turn.
///
/// Writes Parquet files with the columns index, prompt_len, tokens and order. With --texts it takes given
/// texts instead of sampling, in the order in which the model would have revealed them.
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    start: StartArguments,
    /// The folder of the trajectories; one that is there goes on, if it was made with the same settings
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many trajectories the folder is to hold, all shards together [default: one a text]
    #[arg(long, value_name = "N", required_unless_present = "texts",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    num: Option<u64>,
    /// Divides the logits
    #[arg(long, value_name = "T", conflicts_with = "texts")]
    temperature: Option<f64>,
    /// Keep the most probable tokens that sum to more than P
    #[arg(long, value_name = "P", conflicts_with = "texts")]
    top_p: Option<f64>,
    /// Draw by the sampler layer, K tokens a forward; several K are taken in turn. Use another --seed than for trajectories of
    /// the frozen model, or K = 1 writes the same
    #[arg(long, value_name = "K,…", value_delimiter = ',', conflicts_with = "texts",
          value_parser = count::<1, 1000000>)]
    joint: Vec<usize>,
    /// Folder of another export whose sampler layer to use [default: the model's own]
    #[arg(long, value_name = "DIR", requires = "joint")]
    sampler: Option<PathBuf>,
    /// Seed of all randomness; trajectory i draws from stream i of it
    #[arg(long, value_name = "S", default_value_t = 0, conflicts_with = "texts")]
    seed: u64,
    /// Make the i-th of n equal parts, while other processes make the others
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: ShardIndex,
    /// Trajectories in one file, which is what a kill can cost
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    per_file: u32,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// What trajectories begin with.
#[derive(Args)]
pub struct StartArguments {
    /// Positions of a trajectory, its prompt included [default: the model's longest]
    #[arg(long, value_name = "L", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    length: Option<u32>,
    /// A prompt to continue; may be given several times, to be taken in turn
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// Prompts to continue, taken in turn: one a line, \n standing for a line's end, or the "prompt" of each
    /// object of a .jsonl file
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompts: Option<PathBuf>,
    /// Given texts instead of sampled ones, filled up to the length with end-of-sequence tokens: one a line, or
    /// the "text" of each object of a .jsonl file, after its "prompt" if it has one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "prompts"])]
    texts: Option<PathBuf>,
}

impl StartArguments {
    /// Where trajectories come from; `prompts` are those that no flag gives, and `drawn` sets how sampled ones
    /// are drawn.
    pub fn source(
        &self,
        model: &Model,
        seed: u64,
        prompts: &[String],
        drawn: impl Fn(Sampled) -> Result<Sampled, InvalidArgument>,
    ) -> Result<Box<dyn Source>> {
        let named = |error: Error| PLAIN.name(error);
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
            return Ok(Box::new(with_flag("--texts", path.display(), texts)?));
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
        Ok(Box::new(drawn(sampled)?))
    }
}

/// The tokens of a prompt, as [`encode`].
fn encode_prompt(model: &Model, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
    if text.is_empty() { Ok(Vec::new()) } else { model.prompt(name, text) }
}

/// The tokens of a text; of nothing, none, whether or not there is a tokenizer.
fn encode(model: &Model, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
    if text.is_empty() { Ok(Vec::new()) } else { model.encode(name, text) }
}

/// Makes what the folder of `flag` lacks of `portions.count` trajectories; returns how many and how many tokens that
/// were.
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

/// The sampler layer that draws, and what tells it from others; none where the frozen model does.
fn drawing_layer(
    arguments: &Arguments,
    model: &Model,
) -> Result<Option<(Arc<dyn SamplerLayer>, String)>> {
    if arguments.joint.is_empty() {
        return Ok(None);
    }
    let other = arguments.sampler.as_deref();
    let layer = model.sampler_layer(other).map_err(|error| PLAIN.name(error))?.ok_or_else(|| {
        let reason = "the model was exported without a sampler layer: name an export that has one with --sampler";
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
    let from_nothing = [String::new()];
    let source = arguments.start.source(&model, arguments.seed, &from_nothing, drawn)?;
    let unlimited = || InvalidArgument::missing("--num", "what is sampled has no end");
    let count = arguments.num.or(source.len()).ok_or_else(unlimited)?;
    if let Some(most) = source.len().filter(|&most| count > most) {
        let reason = format!("the file of --texts holds {most}");
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
