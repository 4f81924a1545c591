use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use conjoint::prelude::*;
use conjoint_corpus::{Corpus, Domain, Text};

use crate::flag::BadFlag;
use crate::lines;
use crate::model::Model;

/// What the texts of a comparison begin with.
#[derive(Args)]
pub struct TextArguments {
    /// Texts of these domains of the corpus, given nothing but the domain's tag [default: all four]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    domain: Vec<Domain>,
    /// Texts that continue these prompts, taken in turn: one a line, \n standing for a line's end, or the
    /// "prompt" of each object of a .jsonl file
    #[arg(long, value_name = "FILE", conflicts_with = "domain")]
    prompts: Option<PathBuf>,
    /// Texts that answer tasks of the corpus, a new one each: problems in words, calls of functions, lists to be
    /// changed. `right` is then the accuracy; --domain chooses among math, code and list
    #[arg(long, conflicts_with = "prompts")]
    tasks: bool,
    /// Texts that continue nothing, as those of `conjoint trajectories` without prompts do
    #[arg(long, conflicts_with_all = ["domain", "prompts", "tasks"])]
    unconditional: bool,
    /// Positions of a text, its prompt included [default: the model's longest]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(2..))]
    length: Option<u32>,
}

/// Sets the corpora that tasks come from apart from those that models are trained on.
const TASKS: u64 = 0x7461_736b;

impl TextArguments {
    /// What the texts of each seed begin with: `n` tasks, other ones for each, or else all the prompts there are.
    pub fn beginnings(
        &self,
        model: &Model,
        n: usize,
        seeds: &[u64],
    ) -> Result<Vec<Vec<Vec<TokenId>>>> {
        if self.tasks {
            return seeds.iter().map(|&seed| self.questions(model, n, seed)).collect();
        }
        // A file of prompts may be a pipe, which is read once.
        Ok(vec![self.prompts(model)?; seeds.len()])
    }

    /// How the beginnings depend on the seed.
    pub fn description(&self) -> &'static str {
        if self.tasks { "tasks of their own for each seed" } else { "the same for each seed" }
    }

    /// `n` canvases of equal length, the prompts taken in turn.
    pub fn canvases(
        &self,
        model: &Model,
        prompts: &[Vec<TokenId>],
        n: usize,
    ) -> Result<Vec<Canvas>> {
        let length = model.positions(self.length)?;
        let mask = model.denoiser.vocabulary().mask();
        let canvas = |prompt: &Vec<TokenId>| {
            Canvas::of_length(prompt, length, mask).map_err(|error| match (&error, &self.prompts) {
                (conjoint::Error::NothingMasked(_), _) => {
                    let reason = format!("a prompt of {} tokens fills it", prompt.len());
                    BadFlag::new("--length", length, reason).into()
                }
                (_, Some(path)) => BadFlag::new("--prompts", path.display(), error).into(),
                (_, None) => anyhow::Error::from(error),
            })
        };
        let canvases = prompts.iter().map(canvas).collect::<Result<Vec<_>>>()?;
        Ok(canvases.into_iter().cycle().take(n).collect())
    }

    /// `n` tasks of a corpus that no model here was trained on.
    fn questions(&self, model: &Model, n: usize, seed: u64) -> Result<Vec<Vec<TokenId>>> {
        if self.domain.contains(&Domain::Story) {
            return Err(BadFlag::new("--domain", Domain::Story, "stories set no tasks").into());
        }
        let domains = match self.domain.as_slice() {
            [] => &[Domain::Math, Domain::Code, Domain::List],
            chosen => chosen,
        };
        let corpus = Corpus::new(TASKS ^ seed).with_domains(domains)?;
        let question = |text: Text| Some(format!("{}{}", text.domain.tag(), text.question()?));
        let questions = corpus.texts(0..).filter_map(question).take(n);
        questions.map(|question| Ok(model.encode("--tasks", &question)?)).collect()
    }

    fn prompts(&self, model: &Model) -> Result<Vec<Vec<TokenId>>> {
        if self.unconditional {
            return Ok(vec![Vec::new()]);
        }
        let Some(path) = &self.prompts else {
            let domains = if self.domain.is_empty() { &Domain::ALL[..] } else { &self.domain };
            let tag = |domain: &Domain| Ok(model.encode("--domain", domain.tag())?);
            return domains.iter().map(tag).collect();
        };
        let prompts = lines::prompts("--prompts", path)?;
        prompts.iter().map(|prompt| Ok(model.encode("--prompts", prompt)?)).collect()
    }
}
