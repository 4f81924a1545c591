//! `conjoint train sampler`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use conjoint_corpus::Domain;
use conjoint_train::distill::HiddenWeights;
use conjoint_train::distillation::{SamplerOptions, train_sampler};
use conjoint_train::onnx_teacher::OnnxTeacher;
use conjoint_train::options::RunOptions;
use conjoint_trajectory::{Portions, Store, Trajectory};

use super::budget::{RunArguments, count, weight};
use crate::flag::{BadFlag, blame};
use crate::model::{Model, ModelArguments};
use crate::trajectories::{StartArguments, make};

/// Train the sampler layer of an exported model
///
/// Trains along trajectories of the frozen model (arXiv 2509.22738): those of --trajectories-dir, or else its
/// own, which are made first, one token at a time, and kept in DIR/trajectories. All of it goes on where an
/// interrupted run stopped. Writes model.safetensors with the published tensor names, for
/// `conjoint export --sampler DIR`.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    run: RunArguments,
    /// Trajectories to train on, of which 64 are held out [default: 4000, or all that are given]
    #[arg(long, value_name = "N", value_parser = count::<65, 100000000>)]
    trajectories: Option<usize>,
    /// Train on this folder of `conjoint trajectories` instead of making trajectories
    #[arg(long, value_name = "DIR", conflicts_with_all = ["length", "prompt", "prompts", "texts"])]
    trajectories_dir: Option<PathBuf>,
    #[command(flatten)]
    start: StartArguments,
    /// J: sampler passes unrolled in training; K tokens per step want at least K − 1
    #[arg(long, value_name = "J", default_value_t = 4, value_parser = count::<1, 64>)]
    depth: usize,
    /// Compare at one random depth a step instead of at all
    #[arg(long)]
    one_depth: bool,
    /// λ₁: weight of smoothL1(hʲ, h_base(xʲ))
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = weight)]
    lambda_teacher: f64,
    /// λ₂: weight of smoothL1(hʲ, h⁰)
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = weight)]
    lambda_start: f64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let default = SamplerOptions::default();
    let run = arguments.run.options(default.run);
    if run.dir.join("conjoint.json").exists() {
        let reason = "the folder holds an exported model, which training would overwrite";
        return Err(BadFlag::new("--dir", run.dir.display(), reason).into());
    }
    let model = arguments.model.open()?;
    let trajectories = trajectories(arguments, &model, &run)?;
    let teacher = OnnxTeacher::open(&arguments.model.model, run.workers)?;
    let options = SamplerOptions {
        base: arguments.model.model.clone(),
        depth_weights: vec![1.0; arguments.depth],
        one_depth: arguments.one_depth,
        lambda: HiddenWeights { teacher: arguments.lambda_teacher, start: arguments.lambda_start },
        precision: arguments.run.precision(),
        run,
        ..default
    };
    super::report(&train_sampler(&options, &teacher, &trajectories)?)
}

/// The trajectories of the folder given, or the run's own, made as far as they are not there.
fn trajectories(arguments: &Arguments, model: &Model, run: &RunOptions) -> Result<Vec<Trajectory>> {
    let count = arguments.trajectories.map(|count| count as u64);
    if let Some(folder) = &arguments.trajectories_dir {
        let flag = |result| blame("--trajectories-dir", folder.display(), result);
        let store = flag(Store::open(folder))?;
        let (made, asked) = (store.settings().get("model").unwrap_or("none"), model.fingerprint());
        if made != asked {
            let reason = format!(
                "its trajectories are of another model, {made}, than --model, {asked}: \
                 give that model, or make trajectories of this one"
            );
            return Err(BadFlag::new("--trajectories-dir", folder.display(), reason).into());
        }
        return Ok(store.read(count)?);
    }
    // What the texts of the corpus begin with.
    let tags = Domain::ALL.map(|domain| domain.tag().to_owned());
    let source = arguments.start.source(model, run.seed, &tags, Ok)?;
    let default = Portions::default();
    let count = count.or(source.len()).unwrap_or(default.count);
    let folder = run.dir.join("trajectories");
    let portions = Portions { count, ..default };
    let (store, _) = make(model, &*source, &folder, &portions, !run.progress)?;
    Ok(store.read(Some(count))?)
}
