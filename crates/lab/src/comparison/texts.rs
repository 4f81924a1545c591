use std::path::PathBuf;

use conjoint::prelude::*;
use conjoint_corpus::{Corpus, Domain, Text};

use crate::model::Model;
use crate::{Error, text_files};

/// What the texts of a comparison begin with, and how long they are.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// What they begin with.
    pub beginnings: Beginnings,
    /// The positions of a text, its prompt included; by default the most that the model takes.
    pub length: Option<u32>,
}

/// What the texts of a comparison begin with.
#[derive(Debug, Clone)]
pub enum Beginnings {
    /// The tags of these domains of the corpus, taken in turn; of all where none is named.
    Domains(Vec<Domain>),
    /// Tasks of the corpus, a new one each, in all domains that set tasks where none is named.
    Tasks(Vec<Domain>),
    /// These prompts, taken in turn.
    Prompts(Vec<String>),
    /// The prompts of a [file](crate::text_files::prompts), taken in turn.
    File(PathBuf),
    /// Nothing: texts from masks alone.
    Unconditional,
}

/// The tags of all domains.
impl Default for Beginnings {
    fn default() -> Self {
        Self::Domains(Vec::new())
    }
}

/// Sets the corpora that tasks come from apart from those that models are trained on.
const TASKS: u64 = 0x7461_736b;

impl Texts {
    /// What the texts of each seed begin with: `n` tasks, other ones for each, or else all the prompts there are.
    pub(super) fn beginnings(
        &self,
        model: &Model,
        n: usize,
        seeds: &[u64],
    ) -> Result<Vec<Vec<Vec<TokenId>>>, Error> {
        if let Beginnings::Tasks(domains) = &self.beginnings {
            return seeds.iter().map(|&seed| questions(domains, model, n, seed)).collect();
        }
        // A file of prompts may be a pipe, which is read once.
        Ok(vec![self.prompts(model)?; seeds.len()])
    }

    /// How the beginnings depend on the seed.
    pub(super) fn description(&self) -> &'static str {
        match self.beginnings {
            Beginnings::Tasks(_) => "tasks of their own for each seed",
            _ => "the same for each seed",
        }
    }

    /// `n` canvases of equal length, the prompts taken in turn.
    pub(super) fn canvases(
        &self,
        model: &Model,
        prompts: &[Vec<TokenId>],
        n: usize,
    ) -> Result<Vec<Canvas>, Error> {
        let length = model.positions(self.length)?;
        let mask = model.denoiser.vocabulary().mask();
        let canvas = |prompt: &Vec<TokenId>| {
            Canvas::of_length(prompt, length, mask).map_err(|error| {
                match (&error, &self.beginnings) {
                    (conjoint::Error::NothingMasked(_), _) => {
                        let reason = format!("a prompt of {} tokens fills it", prompt.len());
                        Error::parameter("length", length, reason)
                    }
                    (_, Beginnings::File(path)) => {
                        Error::parameter("prompts", path.display(), error)
                    }
                    _ => Error::from(error),
                }
            })
        };
        let canvases = prompts.iter().map(canvas).collect::<Result<Vec<_>, _>>()?;
        Ok(canvases.into_iter().cycle().take(n).collect())
    }

    fn prompts(&self, model: &Model) -> Result<Vec<Vec<TokenId>>, Error> {
        let encoded = |prompts: &[String]| {
            prompts.iter().map(|prompt| model.prompt("prompts", prompt)).collect()
        };
        match &self.beginnings {
            Beginnings::Unconditional => Ok(vec![Vec::new()]),
            Beginnings::File(path) => encoded(&text_files::prompts(path)?),
            Beginnings::Prompts(prompts) if prompts.is_empty() => {
                Err(Error::missing("prompts", "give at least one"))
            }
            Beginnings::Prompts(prompts) => encoded(prompts),
            Beginnings::Domains(domains) | Beginnings::Tasks(domains) => {
                let domains = if domains.is_empty() { &Domain::ALL[..] } else { domains };
                domains.iter().map(|domain| model.prompt("domain", domain.tag())).collect()
            }
        }
    }
}

/// `n` tasks of a corpus that no model here was trained on.
fn questions(
    domains: &[Domain],
    model: &Model,
    n: usize,
    seed: u64,
) -> Result<Vec<Vec<TokenId>>, Error> {
    if domains.contains(&Domain::Story) {
        return Err(Error::parameter("domain", Domain::Story, "stories set no tasks"));
    }
    let domains = match domains {
        [] => &[Domain::Math, Domain::Code, Domain::List],
        chosen => chosen,
    };
    let corpus = Corpus::new(TASKS ^ seed).with_domains(domains)?;
    let question = |text: Text| Some(format!("{}{}", text.domain.tag(), text.question()?));
    let questions = corpus.texts(0..).filter_map(question).take(n);
    questions.map(|question| model.prompt("tasks", &question)).collect()
}
