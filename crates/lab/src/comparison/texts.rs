use std::path::PathBuf;

use conjoint::prelude::*;
use conjoint_corpus::{Corpus, Domain, Text};

use crate::model::Model;
use crate::{Error, text_files};

/// The beginnings and the length of a comparison's texts.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// The beginnings.
    pub beginnings: Beginnings,
    /// The positions of a text, its prompt included. By default the model's largest length.
    pub length: Option<u32>,
    /// Whether a text is several texts of the corpus, one after the other, each with its tag and its end token. A model that
    /// was trained on packed rows generates such texts. The checks of the corpus judge each of them, except a last one without
    /// an end. The other metrics take the text as a whole.
    #[doc(alias = "packing")]
    pub packed: bool,
}

/// The beginnings of a comparison's texts.
#[derive(Debug, Clone)]
pub enum Beginnings {
    /// The tags of these domains of the corpus, in turn. An empty list stands for all domains.
    Domains(Vec<Domain>),
    /// Tasks of the corpus from these domains, a new one for each text. An empty list stands for all domains with tasks.
    Tasks(Vec<Domain>),
    /// These prompts, in turn.
    Prompts(Vec<String>),
    /// The prompts of a [file](crate::text_files::prompts), in turn.
    File(PathBuf),
    /// Nothing: texts of masks alone.
    Unconditional,
}

/// The tags of all domains.
impl Default for Beginnings {
    fn default() -> Self {
        Self::Domains(Vec::new())
    }
}

/// Gives the corpora of tasks other seeds than those that models are trained on.
const TASKS: u64 = 0x7461_736b;

impl Texts {
    /// The prompts of each seed: `n` tasks, different ones for each seed, or else the same prompts.
    pub(super) fn beginnings(
        &self,
        model: &Model,
        n: usize,
        seeds: &[u64],
    ) -> Result<Vec<Vec<Vec<TokenId>>>, Error> {
        if let Beginnings::Tasks(domains) = &self.beginnings {
            return seeds.iter().map(|&seed| tasks(domains, model, n, seed)).collect();
        }
        // A file of prompts may be a pipe, which can be read only once.
        Ok(vec![self.prompts(model)?; seeds.len()])
    }

    /// How the beginnings depend on the seed.
    pub(super) fn description(&self) -> &'static str {
        match self.beginnings {
            Beginnings::Tasks(_) => "tasks of their own for each seed",
            _ => "the same for each seed",
        }
    }

    /// `n` canvases of equal length, with the prompts in turn.
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

/// `n` tasks of a corpus that no model was trained on.
fn tasks(
    domains: &[Domain],
    model: &Model,
    n: usize,
    seed: u64,
) -> Result<Vec<Vec<TokenId>>, Error> {
    if domains.contains(&Domain::Story) {
        return Err(Error::parameter("domain", Domain::Story, "stories have no tasks"));
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
