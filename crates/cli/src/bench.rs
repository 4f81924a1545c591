//! `conjoint bench`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use conjoint::Denoiser as _;
use conjoint_lab::comparison::Lines;
use conjoint_lab::random_model::{self, Storage};
use conjoint_lab::registry::Line;
use conjoint_lab::{Bench, Error};

use crate::flag::{Flags, InvalidArgument, with_flag};
use crate::model::ModelArguments;
use crate::numbers::integer;
use crate::progress::Bars;
use crate::sampling::SamplingArguments;
use crate::{files, info, names};

const FLAGS: Flags = Flags(&[
    ("unmasker", "--strategies"),
    ("schedule", "--strategies"),
    ("folder", "--make-model"),
]);

/// Measure how fast strategies generate, and where the time of a step goes
///
/// Each strategy continues random prompts, once to warm up and then --repeats times. The table has the repeat with the median
/// time. A step is one full forward with its sampler passes. Its time is split into `backbone` and `sampler`, each with its
/// head, `rows` (filtering rows and computing their statistics), `draw` (ranking positions and drawing tokens) and `rest`
/// (everything else outside of ONNX Runtime).
///
///     conjoint bench --make-model 512,12,1408,8,2,32768 random
///     conjoint bench --model random --strategies exact,marginal,joint --k 4,8 --threads 2
#[derive(Args)]
#[command(verbatim_doc_comment, allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: Option<ModelArguments>,
    /// Write an exported model with random weights and a random sampler layer, instead of measuring. Takes the sizes
    /// D,LAYERS,FFN,HEADS,KV,VOCAB and a new folder
    #[arg(long, num_args = 2, value_names = ["SIZES", "DIR"], conflicts_with_all = ["model", "strategies", "k", "prompt_length", "gen_length", "num_samples", "repeats", "json"])]
    make_model: Option<Vec<String>>,
    /// Number format of the weights of --make-model
    #[arg(long, value_name = "TYPE", default_value = "float32", conflicts_with = "model",
          value_parser = names::storage())]
    dtype: Storage,
    /// Strategies, separated by commas: UNMASKER, UNMASKER+SCHEDULE or a preset, each optionally followed by /REVISER
    /// (`conjoint strategies` lists all)
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "exact,marginal,joint",
        value_parser = names::line
    )]
    strategies: Vec<Line>,
    /// K: tokens per step, separated by commas, for strategies that take a K [default: 4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = integer(1..=u16::MAX))]
    k: Option<Vec<u16>>,
    /// Tokens of each prompt [default: 32, or a quarter of the model's positions if they are fewer than 128]
    #[arg(long, value_name = "N", value_parser = integer(1..=1_000_000_u32))]
    prompt_length: Option<u32>,
    /// Tokens to generate [default: 96, or what the prompt leaves of the model's positions]
    #[arg(long, value_name = "N", value_parser = integer(1..=1_000_000_u32))]
    gen_length: Option<u32>,
    /// Number of sequences, each with a prompt of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = integer(1..=1_000_000_u32))]
    num_samples: u32,
    /// Measured runs of each strategy
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = integer(1..=1000_u32))]
    repeats: u32,
    /// Seed of the prompts and the draws, or of the weights of --make-model
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = integer(0..=u64::MAX))]
    seed: u64,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Write the measurements to this file as JSON, with prompts and generated tokens
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let named = |error: Error| FLAGS.error(error);
    if let Some([sizes, folder]) = arguments.make_model.as_deref() {
        let parsed = with_flag("--make-model", sizes, sizes.parse::<random_model::Sizes>())?;
        let folder = Path::new(folder);
        let manifest = random_model::write(&parsed, arguments.dtype, arguments.seed, folder);
        return info::print(folder, &manifest.map_err(named)?);
    }
    let missing =
        || InvalidArgument::missing("--model", "give a model to measure, or use --make-model");
    let model = arguments.model.as_ref().ok_or_else(missing)?;
    let json = arguments.json.as_deref().map(|path| files::place("--json", path)).transpose()?;
    let lines = Lines::new(arguments.strategies.clone()).at(arguments.k.clone());
    let mut bench = Bench {
        lines: lines.by_default_at(&[4, 8]),
        prompt_length: arguments.prompt_length.unwrap_or(1),
        gen_length: arguments.gen_length.unwrap_or(1),
        num_samples: arguments.num_samples,
        repeats: arguments.repeats,
        seed: arguments.seed,
        sampling: arguments.sampling.settings(),
    };
    bench.check().map_err(named)?;
    let model = model.open()?;
    (bench.prompt_length, bench.gen_length) = lengths(arguments, model.denoiser.max_length());
    let report = bench.run(&model, &Bars).map_err(named)?;
    if let Some((folder, name)) = json {
        let report = serde_json::to_vec_pretty(&report)?;
        conjoint_lab::files::write(folder, name, &report)?;
    }
    Ok(std::io::stdout().write_all(report.table().as_bytes())?)
}

/// The lengths of prompts and answers: the given ones, or what suits a model of at most `longest` positions.
fn lengths(arguments: &Arguments, longest: Option<usize>) -> (u32, u32) {
    let longest = longest.map_or(u32::MAX, |longest| u32::try_from(longest).unwrap_or(u32::MAX));
    let prompt = arguments.prompt_length.unwrap_or((longest / 4).clamp(1, 32));
    let left = longest.saturating_sub(prompt).clamp(1, 96);
    (prompt, arguments.gen_length.unwrap_or(left))
}
