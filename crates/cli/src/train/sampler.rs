//! `conjoint train sampler`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use conjoint::OnnxOptions;
use conjoint_corpus::Domain;
use conjoint_lab::Model;
use conjoint_train::distillation::{CachedTeacher, Comparison, OnnxTeacher, favour_shallow};
use conjoint_train::{RunOptions, SamplerOptions, Window, train_sampler};
use conjoint_trajectory::{Error, Partition, Store, Trajectory};

use super::run::{RunArguments, report};
use crate::flag::{InvalidArgument, with_flag};
use crate::model::ModelArguments;
use crate::numbers::{count, non_negative, positive, share};
use crate::trajectories::{StartArguments, make};

/// Train the sampler layer of an exported model
///
/// Trains along trajectories (arXiv 2509.22738): those of --trajectories-dir, or else the frozen model's own, which are
/// sampled first, one token at a time, into DIR/trajectories. The same command resumes an interrupted run. Writes
/// model.safetensors with the published tensor names, for `conjoint export --sampler DIR`.
///
/// The defaults are the paper's, for models of 7B parameters and a long run: J = 7, AdamW at 5e-5, β₂ 0.999, constant after
/// 250 steps. Three differ: the states are those of decoding (the paper's: --random-share 1), the weights are an average,
/// and numbers are float32.
///
/// Small models need other settings. models/tiny was trained with --optimizer muon --rates linear --muon 5e-3 --adamw 3e-3
/// --beta2 0.98 --warmup 100 --batch 32 --all-depths --depth 15 --window 2 --window-share 0.4 --random-share 0.1
/// --distil-temperature 2,1,0.5 --candidates 8,16,24,40, on trajectories at temperatures 1 and 0.5, some of them its own.
///
/// On a CPU, sampling the trajectories uses --threads threads (default: one per core). Training then runs the frozen model with
/// --threads threads (default: 1) for each of --workers.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct SamplerArguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    run: RunArguments,
    /// Number of trajectories of each folder, including those held out [default: 4000, or all of a given folder]
    #[arg(long, value_name = "N", value_parser = count::<2, 100000000>)]
    trajectories: Option<usize>,
    /// Train on this folder of `conjoint trajectories` instead of sampling trajectories. May be repeated
    #[arg(long, value_name = "DIR", conflicts_with_all = ["length", "prompt", "prompts", "texts", "block_length"])]
    trajectories_dir: Vec<PathBuf>,
    #[command(flatten)]
    start: StartArguments,
    /// Number of trajectories at the beginning that are used for validation only
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count::<1, 1000000>)]
    held_out: usize,
    /// MiB of memory for a cache of the frozen model's results: a repeated state then needs no forward. 0 disables the cache
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = count::<0, 1048576>)]
    cache_mib: usize,
    /// Cache the frozen model's results in this file too, for later runs on the same trajectories
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Largest size of --answers, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 65536, value_parser = count::<0, 1073741824>, requires = "answers")]
    answers_mib: usize,
    /// Number of decoder layers of the sampler. The cost of a pass is about that of these layers. Layers missing in --init are
    /// added as the identity
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count::<1, 64>)]
    layers: usize,
    /// Gain of the layer's last norm before training: 0 starts as the identity, 1 is the usual start of a norm
    #[arg(long, value_name = "G", default_value_t = 0.0, value_parser = non_negative, conflicts_with = "init")]
    start_gain: f64,
    /// J: sampler passes unrolled in training. Sampling K tokens per step needs at least K − 1
    #[arg(long, value_name = "J", default_value_t = 7, value_parser = count::<1, 64>)]
    depth: usize,
    /// Weights of the depths 1, 2, …, J in the loss, separated by commas. Their number sets J [default: 1/j]
    #[arg(long, value_name = "W", value_delimiter = ',', value_parser = non_negative, conflicts_with = "depth")]
    depth_weights: Vec<f64>,
    /// Compute the loss at all depths in each step [default: at one depth, drawn by the weights]
    #[arg(long)]
    all_depths: bool,
    /// Give more weight to the M masked rows that are revealed next [default: equal weights]
    #[arg(long, value_name = "M", value_parser = count::<1, 65536>)]
    window: Option<usize>,
    /// Share of a sequence's weight for the window; the rest is spread over all masked rows
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share, requires = "window")]
    window_share: f64,
    /// Start from states where the share u^P of a text is revealed, with u uniform. Above 1, early states are more frequent
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = positive)]
    early_power: f64,
    /// Share of the sequences whose tokens the layer draws itself, to train it on its own mistakes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    own_share: f64,
    /// Share of the sequences that start from a randomly masked text, as in the paper, instead of a state of decoding
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    random_share: f64,
    /// Loss: the divergence of the layer's distribution q from the frozen model's p
    #[arg(long, value_enum, default_value_t = Divergence::Kl)]
    divergence: Divergence,
    /// τ: temperature of both distributions in the loss. Several, separated by commas, alternate
    #[arg(long, value_name = "TAU,…", default_value = "1", value_delimiter = ',', value_parser = positive)]
    distil_temperature: Vec<f64>,
    /// Train for passes that compute only N rows of a sequence, at a fraction of the cost. Several N, such as 4,8,16, alternate.
    /// `conjoint export` reads the form from the weights [default: passes over whole sequences, the published form]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = count::<2, 65536>, conflicts_with = "own_share")]
    candidates: Vec<usize>,
    /// λ₁: weight of smoothL1(hʲ, h_base(xʲ)), the layer's hidden states after pass j against those of a full forward on the
    /// same canvas xʲ
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = non_negative)]
    lambda_teacher: f64,
    /// λ₂: weight of smoothL1(hʲ, h⁰), the layer's hidden states after pass j against those before the first pass
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = non_negative)]
    lambda_start: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Divergence {
    /// KL(p ‖ q), the paper's: penalises tokens of p that q lacks
    Kl,
    /// KL(q ‖ p): penalises tokens of q that p lacks
    ReverseKl,
    /// The mean of KL(p ‖ m) and KL(q ‖ m), with m = (p + q) / 2
    JensenShannon,
    /// Half the sum of |p − q|
    TotalVariation,
}

impl From<Divergence> for conjoint_train::distillation::Divergence {
    fn from(divergence: Divergence) -> Self {
        match divergence {
            Divergence::Kl => Self::Kl,
            Divergence::ReverseKl => Self::ReverseKl,
            Divergence::JensenShannon => Self::JensenShannon,
            Divergence::TotalVariation => Self::TotalVariation,
        }
    }
}

pub fn run(arguments: &SamplerArguments) -> Result<()> {
    let default = SamplerOptions::default();
    let run = arguments.run.options(default.run)?;
    if run.dir.join("conjoint.json").exists() {
        let reason = "the folder has an exported model, which training would overwrite";
        return Err(InvalidArgument::new("--dir", run.dir.display(), reason).into());
    }
    let stores = open(&arguments.trajectories_dir)?;
    let ModelArguments { model: base, provider, threads, ignore_memory, .. } = &arguments.model;
    let options = SamplerOptions {
        base: base.clone(),
        layers: arguments.layers,
        start_gain: arguments.start_gain,
        depth_weights: match arguments.depth_weights.as_slice() {
            [] => favour_shallow(arguments.depth),
            weights => weights.to_vec(),
        },
        all_depths: arguments.all_depths,
        window: Window { rows: arguments.window, share: arguments.window_share },
        early_power: arguments.early_power,
        own_share: arguments.own_share,
        random_share: arguments.random_share,
        block_length: block_length(arguments, &stores)?,
        comparison: Comparison {
            divergence: arguments.divergence.into(),
            teacher: arguments.lambda_teacher,
            start: arguments.lambda_start,
            ..Comparison::default()
        },
        temperatures: arguments.distil_temperature.clone(),
        candidates: arguments.candidates.clone(),
        cache_bytes: arguments.cache_mib << 20,
        held_out: arguments.held_out,
        precision: arguments.run.precision(),
        run,
    };
    if arguments.early_power != 1.0 && arguments.random_share == 1.0 {
        let reason = "all texts are masked at random: give a smaller --random-share";
        return Err(InvalidArgument::unused("--early-power", arguments.early_power, reason).into());
    }
    // Sampling trajectories may take hours, so options are checked first.
    options.validate()?;
    if let Some(count) = arguments.trajectories.filter(|&count| count <= arguments.held_out) {
        let reason = format!("{} of them are for validation: see --held-out", arguments.held_out);
        return Err(InvalidArgument::new("--trajectories", count, reason).into());
    }
    let model = arguments.model.open()?;
    let trajectories = trajectories(arguments, &stores, &model, &options.run)?;
    let fingerprint = model.fingerprint();
    // The teacher opens the graphs again, once per worker. Two copies of a large model would not fit.
    drop(model);
    let threads = threads.map_or(1, usize::from);
    let opened = OnnxOptions::new(*provider).threads(threads).ignore_memory(*ignore_memory);
    let teacher = OnnxTeacher::open(base, &opened, options.run.workers)?;
    let summary = match &arguments.answers {
        None => train_sampler(&options, &teacher, &trajectories)?,
        Some(file) => {
            let bytes = (arguments.answers_mib as u64) << 20;
            let cached = CachedTeacher::open(teacher, file, &fingerprint, bytes);
            let cached = with_flag("--answers", file.display(), cached)?;
            train_sampler(&options, &cached, &trajectories)?
        }
    };
    report(&summary)
}

/// The given folders of trajectories, each with its path.
fn open(folders: &[PathBuf]) -> Result<Vec<(&Path, Store)>> {
    let mut stores = Vec::with_capacity(folders.len());
    let mut places = Vec::with_capacity(folders.len());
    for folder in folders {
        let store = with_flag("--trajectories-dir", folder.display(), Store::open(folder))?;
        let place = with_flag("--trajectories-dir", folder.display(), folder.canonicalize())?;
        if places.contains(&place) {
            let reason = "the folder is given twice: validation would repeat the training";
            return Err(bad(folder, reason));
        }
        places.push(place);
        stores.push((folder.as_path(), store));
    }
    Ok(stores)
}

fn bad(folder: &Path, reason: impl Into<String>) -> anyhow::Error {
    InvalidArgument::new("--trajectories-dir", folder.display(), reason.into()).into()
}

/// The block length of the trajectories: that of the given folders, which must agree, or of the run's own.
fn block_length(arguments: &SamplerArguments, stores: &[(&Path, Store)]) -> Result<Option<usize>> {
    let mut common = None;
    for (folder, store) in stores {
        let length = store.settings().block_length();
        let length = with_flag("--trajectories-dir", folder.display(), length)?;
        let first = *common.get_or_insert(length);
        if first != length {
            let name = |length: Option<usize>| length.map_or("none".to_owned(), |b| b.to_string());
            let (other, first) = (name(length), name(first));
            return Err(bad(folder, format!("its block length is {other}, that before {first}")));
        }
    }
    Ok(common.unwrap_or(arguments.start.block_length()))
}

/// The trajectories of the given folders, or the run's own, sampled if they are missing.
fn trajectories(
    arguments: &SamplerArguments,
    stores: &[(&Path, Store)],
    model: &Model,
    run: &RunOptions,
) -> Result<Vec<Trajectory>> {
    if !stores.is_empty() {
        return given(stores, arguments.trajectories, &model.fingerprint());
    }
    // The tags that begin the texts of the corpus.
    let tags = Domain::ALL.map(|domain| domain.tag().to_owned());
    let source = arguments.start.source(model, run.seed, &tags, Ok)?;
    let default = Partition::default();
    let count =
        arguments.trajectories.map(|count| count as u64).or(source.len()).unwrap_or(default.count);
    let folder = run.dir.join("trajectories");
    let portions = Partition { count, ..default };
    let (store, _) = make(model, &*source, ("--dir", &folder), &portions, !run.progress)?;
    Ok(store.read(Some(count))?)
}

/// The trajectories of these folders, or the first `count` of each.
fn given(
    stores: &[(&Path, Store)],
    count: Option<usize>,
    fingerprint: &str,
) -> Result<Vec<Trajectory>> {
    let mut all: Vec<Trajectory> = Vec::new();
    for (folder, store) in stores {
        all.extend(given_in(folder, store, count, fingerprint)?);
    }
    Ok(all)
}

/// The trajectories of one folder, or the first `count` of them.
fn given_in(
    folder: &Path,
    store: &Store,
    count: Option<usize>,
    fingerprint: &str,
) -> Result<Vec<Trajectory>> {
    let made = store.settings().get("model").unwrap_or("none");
    if made != fingerprint {
        let reason = format!(
            "its trajectories are of another model, {made}, than --model, {fingerprint}: \
             give that model, or sample trajectories of this one"
        );
        return Err(bad(folder, reason));
    }
    match (store.read(count.map(|count| count as u64)), count) {
        (Err(error @ Error::Missing { .. }), Some(count)) => {
            Err(InvalidArgument::new("--trajectories", count, error).into())
        }
        (read, _) => Ok(with_flag("--trajectories-dir", folder.display(), read)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_are_called_the_same_as_in_a_runs_folder() {
        for divergence in Divergence::value_variants() {
            let library = conjoint_train::distillation::Divergence::from(*divergence).to_string();
            let flag = divergence.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), library);
        }
    }
}
