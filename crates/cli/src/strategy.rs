//! From what, where and in which portions tokens are drawn: the arguments that all sampling shares.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::filter::{MinLength, Penalty, RepetitionPenalty};
use conjoint::guidance::ClassifierFree;
use conjoint::order::Randomised;
use conjoint::prelude::*;
use conjoint::unmasker::Strategy;

use crate::flag::{BadFlag, blame, reason};
use crate::model::Model;
use crate::registry::{Context, OrderName, ScheduleName, UnmaskerName};
use crate::scorer::ScorerName;

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

/// From what, and where, and in which portions tokens are drawn.
#[derive(Args)]
pub struct SamplingArguments {
    /// Where tokens are revealed first (`conjoint strategies` lists every order)
    #[arg(long, value_name = "ORDER", default_value = "entropy")]
    pub order: OrderName,
    /// Draw positions from softmax(score / T) of the order instead of taking the best (Dream's alg_temp)
    #[arg(long, value_name = "T", value_parser = positive)]
    pub order_temperature: Option<f64>,
    /// Generate in blocks of this many tokens, from left to right [default: one block]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    pub block_length: Option<u32>,
    /// Open the next block once this share of the last one is known, and work on all that are open
    /// [default: once it is full]
    #[arg(long, value_name = "SHARE", requires = "block_length", value_parser = share)]
    pub open_next_block: Option<f64>,
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
    /// Subtract this many nats from the logits of the end-of-sequence and padding tokens
    #[arg(long, value_name = "NATS", value_parser = non_negative)]
    pub eos_penalty: Option<f64>,
    /// Rule the end of the sequence out before this many tokens are generated
    #[arg(long, value_name = "N")]
    pub min_length: Option<u32>,
    /// Make tokens already there less likely, by this factor of their logits (CTRL), at least 1
    #[arg(long, value_name = "THETA", value_parser = repetition)]
    pub repetition_penalty: Option<f64>,
    /// Classifier-free guidance: how far beyond the model without the prompt; 0 is none
    #[arg(long, value_name = "W", default_value = "0", value_parser = non_negative)]
    pub cfg_scale: f64,
    /// An autoregressive scorer for energy, copula and prefix-acceptance, over the model's own token ids:
    /// ngram:N:FILE counts n-grams of up to N tokens in FILE, one text a line, with \n for a line's end inside
    /// a text; onnx:FILE is a causal language model, onnx:FILE@ID one that wants the token ID before every text
    #[arg(long, value_name = "SCORER")]
    pub scorer: Option<ScorerName>,
    /// Finish a sequence once nothing before its first end-of-sequence token is masked; what follows that token
    /// costs no forwards and becomes padding
    #[arg(long)]
    pub stop_at_eos: bool,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| match value > 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err("expected a finite number above 0".into()),
    })
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err("expected a number from 0 to 1".into()),
    })
}

fn non_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|value| match value >= 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err("expected a finite number of 0 or above".into()),
    })
}

fn repetition(text: &str) -> Result<f64, String> {
    let theta = number(text)?;
    RepetitionPenalty::new(theta).map(|_| theta).map_err(reason)
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
    /// The generator that these arguments, this strategy and this schedule describe; a bad strategy is
    /// blamed on `flag`.
    pub fn generator(
        &self,
        model: &Arc<Model>,
        flag: &'static str,
        unmasker: &UnmaskerName,
        schedule: &ScheduleName,
    ) -> Result<Generator> {
        self.generator_around(model, flag, unmasker, schedule, |strategy| strategy)
    }

    /// As [`generator`](Self::generator), with something `around` the strategy.
    pub fn generator_around(
        &self,
        model: &Arc<Model>,
        flag: &'static str,
        unmasker: &UnmaskerName,
        schedule: &ScheduleName,
        around: impl FnOnce(Box<dyn Strategy>) -> Box<dyn Strategy>,
    ) -> Result<Generator> {
        let vocabulary = model.denoiser.vocabulary();
        let ban: Vec<TokenId> = match self.no_ban {
            true => Vec::new(),
            false => self.ban.iter().map(|token| token.id(vocabulary)).collect::<Result<_, _>>()?,
        };
        let w = self.cfg_scale;
        let guided = blame("--cfg-scale", w, ClassifierFree::new(model.denoiser.clone(), w))?;
        let context = Context {
            model: model.clone(),
            guided: guided.clone(),
            order: self.order()?,
            schedule: schedule.clone(),
            scorer: self.scorer.as_ref().map(|scorer| model.scorer(scorer)).transpose()?,
            greedy: self.temperature == 0.0,
        };
        let mut generator = Generator::new(guided)
            .unmasker(around(unmasker.make(flag, &context)?))
            .schedule(schedule.schedule())
            .ban(ban)
            .filter(self.filter(vocabulary)?)
            .stop_at_eos(self.stop_at_eos)
            .batch_size(usize::from(self.batch_size))?;
        if self.temperature == 0.0 {
            generator = generator.draw(Argmax);
        }
        if let Some(length) = self.block_length {
            generator = generator.block_length(length as usize)?;
        }
        if let Some(share) = self.open_next_block {
            generator = generator.open_next_block_at(share)?;
        }
        Ok(generator)
    }

    /// All that decides what is sampled, but for strategy, schedule and seed.
    pub fn description(&self) -> String {
        let Self {
            order,
            order_temperature,
            block_length,
            open_next_block,
            temperature,
            top_k,
            top_p,
            min_p,
            ban,
            no_ban,
            eos_penalty,
            min_length,
            repetition_penalty,
            cfg_scale,
            scorer,
            stop_at_eos,
            ..
        } = self;
        format!(
            "order {order} {order_temperature:?}, blocks {block_length:?} {open_next_block:?}, temperature {temperature}, \
             top-k {top_k:?}, top-p {top_p:?}, min-p {min_p:?}, ban {ban:?} {no_ban}, \
             eos penalty {eos_penalty:?}, min length {min_length:?}, \
             repetition penalty {repetition_penalty:?}, cfg {cfg_scale}, scorer {scorer:?}, \
             stop at eos {stop_at_eos}"
        )
    }

    fn order(&self) -> Result<Arc<dyn Order>, BadFlag> {
        let order = self.order.order();
        Ok(match self.order_temperature {
            None => order,
            Some(t) => Arc::new(blame("--order-temperature", t, Randomised::new(order, t))?),
        })
    }

    fn filter(&self, vocabulary: &Vocabulary) -> Result<Vec<Arc<dyn Filter>>, BadFlag> {
        let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
        let ends = || vocabulary.eos().into_iter().chain(vocabulary.pad());
        if let Some(nats) = self.eos_penalty {
            filters.push(Arc::new(blame("--eos-penalty", nats, Penalty::new(ends(), nats))?));
        }
        if let Some(length) = self.min_length {
            filters.push(Arc::new(MinLength::new(length as usize, ends())));
        }
        if let Some(theta) = self.repetition_penalty {
            let penalty = RepetitionPenalty::new(theta);
            filters.push(Arc::new(blame("--repetition-penalty", theta, penalty)?));
        }
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
