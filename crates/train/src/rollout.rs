//! Trajectories of the frozen model: what it writes one token at a time, and in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint_core::observer::Reveal;
use conjoint_core::order::Entropy;
use conjoint_core::unmasker::ExactSequential;
use conjoint_core::{Canvas, Denoiser, Generator, Observer, SeededStream, TokenId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::check;
use crate::identity::{claim, identity};
use crate::trajectory::Trajectory;
use crate::{TrainError, atomic};

/// Trajectories in one file, and in one call of the generator.
const SHARD: usize = 128;

/// Which trajectories to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutOptions {
    /// Where the shards are kept; those found there are not made again.
    pub dir: PathBuf,
    /// How many trajectories.
    pub count: usize,
    /// T, the length of each, the prompt included.
    pub length: usize,
    /// The prompts, taken in turn: trajectory i continues prompt i mod their number.
    pub prompts: Vec<Vec<TokenId>>,
    /// What tells this model from others: trajectories in the folder must come from the same one.
    pub model: String,
    /// The seed; trajectory i draws from stream i of it.
    pub seed: u64,
    /// Sequences in one forward.
    pub batch: usize,
    /// Whether to show progress on the terminal.
    pub progress: bool,
}

/// Samples trajectories by exact sequential sampling at temperature 1, lowest entropy first, which is
/// the model's own joint distribution. Files already in the folder are read, missing ones are made,
/// each written whole: an interrupted call goes on where it stopped.
///
/// # Errors
///
/// An option cannot work, the model fails, or a file cannot be read or written.
pub fn rollout(
    model: &Arc<dyn Denoiser>,
    options: &RolloutOptions,
) -> Result<Vec<Trajectory>, TrainError> {
    check(!options.prompts.is_empty(), "prompts", "none", "at least one")?;
    check(options.batch > 0, "batch", options.batch, "at least 1")?;
    let identity = identity([
        ("model", options.model.clone()),
        ("length", options.length.to_string()),
        ("prompts", format!("{:?}", options.prompts)),
        ("seed", options.seed.to_string()),
    ]);
    claim(&options.dir.join("options.json"), &identity)?;
    let bar = bar(options);
    let mut trajectories = Vec::with_capacity(options.count);
    while trajectories.len() < options.count {
        let first = trajectories.len();
        let path = options.dir.join(format!("trajectories-{first:07}.jsonl"));
        let shard = match path.is_file() {
            true => read(&path)?,
            false => {
                let shard = sample(model, options, first, &bar)?;
                write(&path, &shard)?;
                shard
            }
        };
        check(!shard.is_empty(), "trajectories in a shard", 0, "at least 1")?;
        trajectories.extend(shard);
        bar.set_position((trajectories.len() * options.length) as u64);
    }
    trajectories.truncate(options.count);
    bar.finish_and_clear();
    Ok(trajectories)
}

fn bar(options: &RolloutOptions) -> ProgressBar {
    let target = match options.progress {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let tokens = (options.count * options.length) as u64;
    let bar = ProgressBar::with_draw_target(Some(tokens), target);
    let template = "trajectories {bar:30} {pos}/{len} tokens, {per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar, // the default style serves too
    }
}

/// Makes the shard that begins with trajectory `first`.
fn sample(
    model: &Arc<dyn Denoiser>,
    options: &RolloutOptions,
    first: usize,
    bar: &ProgressBar,
) -> Result<Vec<Trajectory>, TrainError> {
    let failed = |error: conjoint_core::Error| TrainError::Teacher(error.into());
    let seed = options.seed;
    let generator = Generator::new(model.clone())
        .unmasker(ExactSequential::new(Entropy))
        .batch_size(options.batch)
        .map_err(failed)?
        .streams(move |i| Box::new(SeededStream::new(seed, first as u64 + i)));
    let mask = model.vocabulary().mask();
    let canvas = |index: usize| {
        let prompt = &options.prompts[index % options.prompts.len()];
        let length = options.length.saturating_sub(prompt.len());
        Canvas::new(prompt, length, mask).map_err(failed)
    };
    let canvases = (first..first + SHARD).map(canvas).collect::<Result<Vec<_>, _>>()?;
    let mut orders = Orders { orders: vec![Vec::new(); SHARD], bar };
    let outputs = generator.run(canvases, &mut orders).map_err(failed)?;
    let finish = |(output, order): (conjoint_core::Output, Vec<u16>)| Trajectory {
        prompt_len: output.generated.start,
        tokens: output.tokens,
        order,
    };
    Ok(outputs.into_iter().zip(orders.orders).map(finish).collect())
}

/// Notes the order of the reveals.
struct Orders<'a> {
    orders: Vec<Vec<u16>>,
    bar: &'a ProgressBar,
}

impl Observer for Orders<'_> {
    fn on_reveal(&mut self, reveal: &Reveal) {
        if let Some(order) = self.orders.get_mut(reveal.sequence) {
            order.push(reveal.position as u16);
        }
        self.bar.inc(1);
    }
}

fn write(path: &Path, shard: &[Trajectory]) -> Result<(), TrainError> {
    let mut lines = Vec::new();
    for trajectory in shard {
        serde_json::to_writer(&mut lines, trajectory)
            .map_err(|error| TrainError::malformed(path, error))?;
        lines.push(b'\n');
    }
    atomic::write(path, &lines)
}

fn read(path: &Path) -> Result<Vec<Trajectory>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    let parse = |line| serde_json::from_str(line).map_err(|e| TrainError::malformed(path, e));
    text.lines().map(parse).collect()
}
