use std::sync::Arc;

use clap::Args;
use conjoint::filter::{MinLength, Penalty, RepetitionPenalty};
use conjoint::prelude::*;

use super::banned::Banned;
use crate::flag::{BadFlag, blame};
use crate::numbers::{accepted, non_negative};

/// From what tokens are drawn.
#[derive(Args)]
pub struct FilterArguments {
    /// Divides the logits; 0 takes the most probable token
    #[arg(long, value_name = "T", default_value = "1", value_parser = temperature)]
    pub temperature: f64,
    /// Keep the N most probable tokens
    #[arg(long, value_name = "N", value_parser = top_k)]
    top_k: Option<usize>,
    /// Keep the most probable tokens that sum to more than P
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, TopP::new))]
    top_p: Option<f64>,
    /// Keep tokens with at least P times the largest probability
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, MinP::new))]
    min_p: Option<f64>,
    /// Tokens never to draw nor count: mask, pad, bos, eos or ids
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_value = "mask")]
    ban: Vec<Banned>,
    /// Count every token in the scores, the mask id included (which is still never drawn)
    #[arg(long, conflicts_with = "ban")]
    no_ban: bool,
    /// Subtract this many nats from the logits of the end-of-sequence and padding tokens
    #[arg(long, value_name = "NATS", value_parser = non_negative)]
    eos_penalty: Option<f64>,
    /// Rule the end of the sequence out before this many tokens are generated
    #[arg(long, value_name = "N")]
    min_length: Option<u32>,
    /// Make tokens already there less likely, by this factor of their logits (CTRL), at least 1
    #[arg(long, value_name = "THETA", value_parser = |text: &str| accepted(text, RepetitionPenalty::new))]
    repetition_penalty: Option<f64>,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        // 0 stands for argmax, which is not a temperature of the library.
        Ok(0.0) => Ok(0.0),
        _ => accepted(text, Temperature::new).map_err(|_| {
            "expected 0, or a number that is finite and above 0 in 32 bits".to_owned()
        }),
    }
}

fn top_k(text: &str) -> Result<usize, String> {
    let k = text.parse().map_err(|_| "expected a whole number")?;
    TopK::new(k).map(|_| k).map_err(|error| error.to_string())
}

impl FilterArguments {
    /// Whether the most probable token is taken instead of drawing one.
    pub fn greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The tokens of `--ban` as they are written, if they are more than the mask.
    pub fn bans(&self) -> Option<String> {
        let bans: Vec<_> = self.ban.iter().map(Banned::to_string).collect();
        (!self.no_ban && self.ban != [Banned::Mask]).then(|| bans.join(","))
    }

    /// The ids never to draw nor count.
    pub fn banned(&self, vocabulary: &Vocabulary) -> Result<Vec<TokenId>, BadFlag> {
        match self.no_ban {
            true => Ok(Vec::new()),
            false => self.ban.iter().map(|token| token.id(vocabulary)).collect(),
        }
    }

    /// The filters, in the order in which they are applied.
    pub fn filter(&self, vocabulary: &Vocabulary) -> Result<Vec<Arc<dyn Filter>>, BadFlag> {
        let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
        let ends = |flag, value: &dyn ToString| -> Result<Vec<TokenId>, BadFlag> {
            let ends: Vec<_> = vocabulary.eos().into_iter().chain(vocabulary.pad()).collect();
            let absent = "the model has neither an end-of-sequence nor a padding id";
            match ends.is_empty() {
                true => Err(BadFlag::new(flag, value.to_string(), absent)),
                false => Ok(ends),
            }
        };
        if let Some(nats) = self.eos_penalty {
            const FLAG: &str = "--eos-penalty";
            filters.push(Arc::new(blame(FLAG, nats, Penalty::new(ends(FLAG, &nats)?, nats))?));
        }
        if let Some(length) = self.min_length {
            let ends = ends("--min-length", &length)?;
            filters.push(Arc::new(MinLength::new(length as usize, ends)));
        }
        if let Some(theta) = self.repetition_penalty {
            let penalty = RepetitionPenalty::new(theta);
            filters.push(Arc::new(blame("--repetition-penalty", theta, penalty)?));
        }
        if !self.greedy() {
            let t = self.temperature;
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

    /// All of it in one line.
    pub fn description(&self) -> String {
        let Self { temperature, top_k, top_p, min_p, ban, no_ban, eos_penalty, min_length, .. } =
            self;
        let repetition_penalty = self.repetition_penalty;
        format!(
            "temperature {temperature}, top-k {top_k:?}, top-p {top_p:?}, min-p {min_p:?}, \
             ban {ban:?} {no_ban}, eos penalty {eos_penalty:?}, min length {min_length:?}, \
             repetition penalty {repetition_penalty:?}"
        )
    }
}
