//! How fast strategies generate, and where each millisecond of a step goes.
//!
//! ```no_run
//! use conjoint_lab::{Model, Registry, bench::Bench};
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let model = Model::open("models/tiny")?;
//! let registry = Registry::builtin();
//! let bench = Bench::new(vec![registry.line("exact")?, registry.line("joint")?]);
//! let report = bench.run(&model, &())?;
//! println!("{}", report.table());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod measure;
mod report;
mod stopwatch;

use std::collections::HashSet;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::{SeededStream, Stream};

pub use report::{Milliseconds, Report, Run};
pub use stopwatch::{Outside, Stopwatch};

use crate::Error;
use crate::comparison::Lines;
use crate::model::Model;
use crate::progress::Progress;
use crate::sampling::Sampling;

/// What is measured: random prompts are continued, in each strategy once to warm up and then `repeats` times.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The strategies, and the K at which they are run.
    pub lines: Lines,
    /// Tokens of a prompt.
    pub prompt_length: u32,
    /// Tokens to generate.
    pub gen_length: u32,
    /// Sequences, of as many prompts.
    pub num_samples: u32,
    /// Times that each strategy is measured.
    pub repeats: u32,
    /// The seed of prompts and draws.
    pub seed: u64,
    /// From what, where and how many at a time tokens are drawn.
    pub sampling: Sampling,
}

impl Bench {
    /// These lines on one sequence, a prompt of 8 tokens continued by 24, five times.
    pub fn new(lines: impl Into<Lines>) -> Self {
        Self {
            lines: lines.into(),
            prompt_length: 8,
            gen_length: 24,
            num_samples: 1,
            repeats: 5,
            seed: 0,
            sampling: Sampling::default(),
        }
    }

    /// Rejects what cannot work or would have no effect, before a model is opened.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Missing`] or [`Error::Unused`].
    pub fn check(&self) -> Result<(), Error> {
        let Self { prompt_length, gen_length, num_samples, repeats, .. } = *self;
        let counts = [
            ("prompt length", prompt_length),
            ("gen length", gen_length),
            ("num samples", num_samples),
            ("repeats", repeats),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(Error::parameter(name, value, "expected at least 1"));
            }
        }
        self.lines.check(&self.sampling, false)
    }

    /// Measures every line at each of its settings.
    ///
    /// # Errors
    /// Those of [`check`](Self::check). [`Error::Parameter`] for `prompt length` or `gen length`, if the model has no
    /// room for them. Whatever a strategy or the model says.
    pub fn run(&self, model: &Arc<Model>, progress: &dyn Progress) -> Result<Report, Error> {
        self.check()?;
        let Self { prompt_length, gen_length, num_samples, repeats, seed, .. } = *self;
        fits(model, prompt_length as usize, gen_length as usize)?;
        let prompts = prompts(model, prompt_length as usize, num_samples, seed);
        let mask = model.denoiser.vocabulary().mask();
        let canvas = |prompt: &Vec<TokenId>| Canvas::new(prompt, gen_length as usize, mask);
        let canvases = prompts.iter().map(canvas).collect::<Result<Vec<_>, _>>()?;
        let mut runs = Vec::new();
        for (line, setting) in self.lines.points(gen_length as usize)? {
            runs.push(measure::measure(self, model, &canvases, (line, &setting), progress)?);
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let options = model.options();
        Ok(Report {
            model: options.folder.display().to_string(),
            provider: options.provider.to_string(),
            threads: options.threads.map_or_else(cores, usize::from),
            prompt_length,
            gen_length,
            num_samples,
            batch_size: self.sampling.batch_size,
            repeats,
            seed,
            sampling: self.sampling.description(),
            prompts,
            runs,
        })
    }
}

/// Rejects lengths that the model has no positions for.
fn fits(model: &Model, prompt: usize, generated: usize) -> Result<(), Error> {
    let Some(longest) = model.denoiser.max_length() else { return Ok(()) };
    if prompt >= longest {
        let reason = format!("it leaves none of the model's {longest} positions to generate");
        return Err(Error::parameter("prompt length", prompt, reason));
    }
    let left = longest - prompt;
    if generated > left {
        let reason = format!(
            "after a prompt of {prompt} tokens (`prompt length`) the model has room for {left} of its \
             {longest} positions"
        );
        return Err(Error::parameter("gen length", generated, reason));
    }
    Ok(())
}

/// Prompts of random ids, none of them special.
fn prompts(model: &Model, length: usize, n: u32, seed: u64) -> Vec<Vec<TokenId>> {
    let vocabulary = model.denoiser.vocabulary();
    let special = [Some(vocabulary.mask()), vocabulary.pad(), vocabulary.bos()];
    let is_plain = |&id: &TokenId| !special.contains(&Some(id)) && !vocabulary.is_eos(id);
    let unnamed: HashSet<TokenId> = vocabulary.unassigned().collect();
    let ids = (0..vocabulary.size() as TokenId).filter(is_plain);
    let plain: Vec<TokenId> = ids.filter(|id| !unnamed.contains(id)).collect();
    let prompt = |sequence: u32| {
        // Not the numbers that the draws are made from.
        let mut stream = SeededStream::new(!seed, sequence.into());
        (0..length).filter_map(|_| plain.get(stream.below(plain.len())).copied()).collect()
    };
    (0..n).map(prompt).collect()
}
