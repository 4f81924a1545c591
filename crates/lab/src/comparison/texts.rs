use std::path::PathBuf;

use conjoint::prelude::*;
use conjoint_corpus::{Corpus, Domain, Text};

use crate::model::Model;
use crate::prompt::PromptReader;
use crate::{Error, requests, text_files};

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
    /// The prompts of a [file](crate::text_files::prompts), in turn; or the texts with holes of a `.jsonl` file of
    /// [requests](crate::requests::canvases). These have lengths of their own.
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

/// What is given of a text.
#[derive(Debug, Clone)]
pub(super) enum Beginning {
    /// Its first tokens.
    Prompt(Vec<TokenId>),
    /// Everything but its holes.
    Holes(Canvas),
}

impl Beginning {
    /// The given tokens, with masks in the holes.
    pub fn tokens(&self) -> &[TokenId] {
        match self {
            Self::Prompt(tokens) => tokens,
            Self::Holes(canvas) => canvas.tokens(),
        }
    }
}

/// Gives the corpora of tasks other seeds than those that models are trained on.
const TASKS: u64 = 0x7461_736b;

impl Texts {
    /// The beginnings of each seed: `n` tasks, different ones for each seed, or else the same beginnings.
    pub(super) fn beginnings(
        &self,
        model: &Model,
        n: usize,
        seeds: &[u64],
    ) -> Result<Vec<Vec<Beginning>>, Error> {
        let prompts = |prompts: Vec<_>| prompts.into_iter().map(Beginning::Prompt).collect();
        if let Beginnings::Tasks(domains) = &self.beginnings {
            let tasks = seeds.iter().map(|&seed| Ok(prompts(tasks(domains, model, n, seed)?)));
            return tasks.collect();
        }
        // A file of prompts may be a pipe, which can be read only once.
        let beginnings = match self.holes(model)? {
            Some(canvases) => canvases.into_iter().map(Beginning::Holes).collect(),
            None => prompts(self.prompts(model)?),
        };
        Ok(vec![beginnings; seeds.len()])
    }

    /// The texts with holes of a file that has such.
    fn holes(&self, model: &Model) -> Result<Option<Vec<Canvas>>, Error> {
        let Beginnings::File(path) = &self.beginnings else { return Ok(None) };
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            return Ok(None);
        }
        requests::canvases(path, &PromptReader::new(model))
    }

    /// How the beginnings depend on the seed.
    pub(super) fn description(&self) -> &'static str {
        match self.beginnings {
            Beginnings::Tasks(_) => "tasks of their own for each seed",
            _ => "the same for each seed",
        }
    }

    /// `n` canvases, with the beginnings in turn. Those of prompts have one length.
    pub(super) fn canvases(
        &self,
        model: &Model,
        beginnings: &[Beginning],
        n: usize,
    ) -> Result<Vec<Canvas>, Error> {
        let canvas = |beginning: &Beginning| match beginning {
            Beginning::Prompt(prompt) => self.continued(model, prompt),
            Beginning::Holes(canvas) => match self.length {
                None => Ok(canvas.clone()),
                Some(length) => {
                    let reason = "the texts of `prompts` have holes, and lengths of their own";
                    Err(Error::unused("length", length, reason))
                }
            },
        };
        let canvases = beginnings.iter().map(canvas).collect::<Result<Vec<_>, _>>()?;
        Ok(canvases.into_iter().cycle().take(n).collect())
    }

    /// A prompt and the masks after it.
    fn continued(&self, model: &Model, prompt: &[TokenId]) -> Result<Canvas, Error> {
        let length = model.positions(self.length)?;
        let mask = model.denoiser.vocabulary().mask();
        Canvas::of_length(prompt, length, mask).map_err(|error| match (&error, &self.beginnings) {
            (conjoint::Error::NothingMasked(_), _) => {
                let reason = format!("a prompt of {} tokens fills it", prompt.len());
                Error::parameter("length", length, reason)
            }
            (_, Beginnings::File(path)) => Error::parameter("prompts", path.display(), error),
            _ => Error::from(error),
        })
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
