//! The registry: names on the command line to strategies, orders, schedules and filters.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use conjoint::prelude::*;
use conjoint::unmasker::Strategy;

use crate::flag::{BadFlag, blame, reason};
use crate::model::Model;

/// How tokens are revealed in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnmaskerName {
    /// One token a forward: the model's own joint distribution
    Exact,
    /// Several independent draws a forward
    Marginal,
    /// Draw everywhere, keep the most confident tokens (LLaDA, MaskGIT)
    Confidence,
    /// One full forward, then a sampler pass before each further token
    Joint,
}

/// Where tokens are revealed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OrderName {
    /// Lowest entropy first
    Entropy,
    /// Largest probability first
    Confidence,
    /// Largest gap between the two largest probabilities first
    Margin,
    /// Uniformly random
    Random,
    /// Leftmost first
    LeftToRight,
}

impl OrderName {
    fn order(self) -> Arc<dyn Order> {
        match self {
            Self::Entropy => Arc::new(Entropy),
            Self::Confidence => Arc::new(MaxProb),
            Self::Margin => Arc::new(Margin),
            Self::Random => Arc::new(Random),
            Self::LeftToRight => Arc::new(LeftToRight),
        }
    }
}

/// How many tokens a step reveals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleName {
    PerStep(usize),
    Dream(usize),
    Llada(usize),
    Cosine(usize),
}

impl ScheduleName {
    fn schedule(self) -> Result<Arc<dyn Schedule>, conjoint::Error> {
        Ok(match self {
            Self::PerStep(k) => Arc::new(TokensPerStep::new(k)?),
            Self::Dream(steps) => Arc::new(DreamLinear::new(steps)?),
            Self::Llada(steps) => Arc::new(LladaEven::new(steps)?),
            Self::Cosine(steps) => Arc::new(Cosine::new(steps)?),
        })
    }
}

impl FromStr for ScheduleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "expected per-step:K, dream:STEPS, llada:STEPS or cosine:STEPS";
        let (name, number) = text.split_once(':').ok_or(known)?;
        let number =
            number.parse().ok().filter(|number| *number <= 1_000_000).ok_or_else(|| {
                format!("'{number}' is not a whole number up to 1000000; {known}")
            })?;
        let schedule = match name {
            "per-step" => Self::PerStep(number),
            "dream" => Self::Dream(number),
            "llada" => Self::Llada(number),
            "cosine" => Self::Cosine(number),
            _ => return Err(format!("there is no schedule '{name}'; {known}")),
        };
        schedule.schedule().map_err(reason)?;
        Ok(schedule)
    }
}

impl std::fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, number) = match self {
            Self::PerStep(k) => ("per-step", k),
            Self::Dream(steps) => ("dream", steps),
            Self::Llada(steps) => ("llada", steps),
            Self::Cosine(steps) => ("cosine", steps),
        };
        write!(f, "{name}:{number}")
    }
}

/// A token to rule out: a special one by name, or any by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banned {
    Mask,
    Pad,
    Bos,
    Eos,
    Id(TokenId),
}

impl FromStr for Banned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "mask" => Self::Mask,
            "pad" => Self::Pad,
            "bos" => Self::Bos,
            "eos" => Self::Eos,
            id => Self::Id(id.parse().map_err(|_| "expected mask, pad, bos, eos or a token id")?),
        })
    }
}

impl Banned {
    fn id(&self, vocabulary: &Vocabulary) -> Result<TokenId, BadFlag> {
        let (name, id) = match self {
            Self::Mask => ("mask", Some(vocabulary.mask())),
            Self::Pad => ("pad", vocabulary.pad()),
            Self::Bos => ("bos", vocabulary.bos()),
            Self::Eos => ("eos", vocabulary.eos()),
            Self::Id(id) if (*id as usize) < vocabulary.size() => return Ok(*id),
            Self::Id(id) => {
                let reason = format!("the vocabulary has ids below {}", vocabulary.size());
                return Err(BadFlag::new("--ban", id, reason));
            }
        };
        id.ok_or_else(|| BadFlag::new("--ban", name, "the model has no such id"))
    }
}

/// Which probability of a drawn token is its confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreName {
    /// Before temperature and truncation, as LLaDA does
    Raw,
    /// After them, as Dream does
    Filtered,
}

/// From what, and where, and in which portions tokens are drawn.
#[derive(Args)]
pub struct SamplingArguments {
    /// Where tokens are revealed first
    #[arg(long, value_name = "ORDER", default_value = "entropy")]
    pub order: OrderName,
    /// Score of `--unmasker confidence`
    #[arg(long, value_name = "SCORE", default_value = "raw")]
    pub score: ScoreName,
    /// Generate in blocks of this many tokens, from left to right [default: one block]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    pub block_length: Option<u32>,
    /// Divides the logits; 0 takes the most probable token
    #[arg(long, value_name = "T", default_value = "1", value_parser = temperature)]
    pub temperature: f64,
    /// Keep the N most probable tokens
    #[arg(long, value_name = "N", value_parser = top_k)]
    pub top_k: Option<usize>,
    /// Keep the most probable tokens that sum to more than P
    #[arg(long, value_name = "P", value_parser = top_p)]
    pub top_p: Option<f64>,
    /// Keep tokens with at least P times the largest probability
    #[arg(long, value_name = "P", value_parser = min_p)]
    pub min_p: Option<f64>,
    /// Tokens never to draw nor count: mask, pad, bos, eos or ids
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_value = "mask")]
    pub ban: Vec<Banned>,
    /// Count every token in the scores, the mask id included (which is still never drawn)
    #[arg(long, conflicts_with = "ban")]
    pub no_ban: bool,
    /// Fill up after the first end-of-sequence token instead of generating on
    #[arg(long)]
    pub stop_at_eos: bool,
    /// Seed of all randomness; sample i draws from stream i of it
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
}

fn temperature(text: &str) -> Result<f64, String> {
    let value = number(text)?;
    // 0 stands for argmax, which is not a temperature of the library.
    if value != 0.0 {
        Temperature::new(value).map_err(|_| "expected 0, or a finite number above 0")?;
    }
    Ok(value)
}

fn top_k(text: &str) -> Result<usize, String> {
    let k = text.parse().map_err(|_| "expected a whole number")?;
    TopK::new(k).map(|_| k).map_err(reason)
}

fn top_p(text: &str) -> Result<f64, String> {
    let p = number(text)?;
    TopP::new(p).map(|_| p).map_err(reason)
}

fn min_p(text: &str) -> Result<f64, String> {
    let p = number(text)?;
    MinP::new(p).map(|_| p).map_err(reason)
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "expected a number".to_owned())
}

impl SamplingArguments {
    /// The generator that these arguments, this strategy and this schedule describe.
    pub fn generator(
        &self,
        model: &Model,
        unmasker: UnmaskerName,
        schedule: ScheduleName,
    ) -> Result<Generator> {
        let vocabulary = model.denoiser.vocabulary();
        let ban: Vec<TokenId> = match self.no_ban {
            true => Vec::new(),
            false => self.ban.iter().map(|token| token.id(vocabulary)).collect::<Result<_, _>>()?,
        };
        let mut generator = Generator::new(model.denoiser.clone())
            .unmasker(self.unmasker(model, unmasker, schedule)?)
            .schedule(schedule.schedule()?)
            .ban(ban)
            .filter(self.filter()?)
            .stop_at_eos(self.stop_at_eos)
            .seed(self.seed)
            .batch_size(usize::from(self.batch_size))?;
        if self.temperature == 0.0 {
            generator = generator.draw(Argmax);
        }
        if let Some(length) = self.block_length {
            generator = generator.block_length(length as usize)?;
        }
        Ok(generator)
    }

    fn unmasker(
        &self,
        model: &Model,
        unmasker: UnmaskerName,
        schedule: ScheduleName,
    ) -> Result<Box<dyn Strategy>> {
        let order = self.order.order();
        Ok(match unmasker {
            UnmaskerName::Exact => {
                if matches!(schedule, ScheduleName::PerStep(k) if k > 1) {
                    let reason = "`exact` reveals one token a forward; take `marginal` or `joint`";
                    return Err(BadFlag::new("--schedule", schedule, reason).into());
                }
                Box::new(ExactSequential::new(order))
            }
            UnmaskerName::Marginal => Box::new(Marginal::new(order)),
            UnmaskerName::Joint => Box::new(LearnedJoint::new(model.sampler_layer()?).order(order)),
            UnmaskerName::Confidence => Box::new(Confidence::new(match self.score {
                ScoreName::Raw => Score::Raw,
                ScoreName::Filtered => Score::Filtered,
            })),
        })
    }

    fn filter(&self) -> Result<Vec<Arc<dyn Filter>>, BadFlag> {
        let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
        let t = self.temperature;
        if t != 0.0 {
            filters.push(Arc::new(blame("--temperature", t, Temperature::new(t))?));
        }
        if let Some(k) = self.top_k {
            filters.push(Arc::new(blame("--top-k", k, TopK::new(k))?));
        }
        if let Some(p) = self.top_p {
            filters.push(Arc::new(blame("--top-p", p, TopP::new(p))?));
        }
        if let Some(p) = self.min_p {
            filters.push(Arc::new(blame("--min-p", p, MinP::new(p))?));
        }
        Ok(filters)
    }
}
