use std::collections::HashSet;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::{SeededStream, Stream};

use super::{Bench, Report, measure};
use crate::Error;
use crate::model::Model;
use crate::progress::Progress;

impl Bench {
    /// Measures every line at each of its settings.
    ///
    /// # Errors
    /// Those of [`check`](Self::check). [`Error::Parameter`] for `prompt length` or `gen length` if the model has too few
    /// positions. The errors of the strategies and the model.
    pub fn run(&self, model: &Arc<Model>, progress: &dyn Progress) -> Result<Report, Error> {
        self.check()?;
        let Self { prompt_length, gen_length, num_samples, repeats, seed, .. } = *self;
        check_lengths(model, prompt_length as usize, gen_length as usize)?;
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
            precision: model
                .denoiser
                .manifest()
                .quantised
                .map_or_else(|| "float32".into(), |q| q.to_string()),
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

/// Rejects lengths beyond the positions of the model.
fn check_lengths(model: &Model, prompt: usize, generated: usize) -> Result<(), Error> {
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

/// Prompts of random ids without special tokens.
fn prompts(model: &Model, length: usize, n: u32, seed: u64) -> Vec<Vec<TokenId>> {
    let vocabulary = model.denoiser.vocabulary();
    let special = [Some(vocabulary.mask()), vocabulary.pad(), vocabulary.bos()];
    let is_plain = |&id: &TokenId| !special.contains(&Some(id)) && !vocabulary.is_eos(id);
    let unassigned: HashSet<TokenId> = vocabulary.unassigned().collect();
    let ids = (0..vocabulary.size() as TokenId).filter(is_plain);
    let plain: Vec<TokenId> = ids.filter(|id| !unassigned.contains(id)).collect();
    let prompt = |sequence: u32| {
        // Another seed than that of the draws.
        let mut stream = SeededStream::new(!seed, sequence.into());
        (0..length).filter_map(|_| plain.get(stream.below(plain.len())).copied()).collect()
    };
    (0..n).map(prompt).collect()
}
