use clap::Args;
use conjoint::filter::RepetitionPenalty;
use conjoint::prelude::*;
use conjoint_lab::{Banned, Filters, GenerationConfig};

use crate::flag;
use crate::numbers::{accepted, integer, non_negative};

/// The filters of the distributions that tokens are drawn from.
#[derive(Args)]
pub struct FilterArguments {
    /// Divide the logits by T; 0 takes the most probable token [default: 1]
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Keep only the N most probable tokens [default: all]
    #[arg(long, value_name = "N", value_parser = top_k)]
    top_k: Option<usize>,
    /// Keep only the most probable tokens whose probabilities sum to more than P [default: all]
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, TopP::new))]
    top_p: Option<f64>,
    /// Keep only tokens with at least P times the largest probability [default: all]
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, MinP::new))]
    min_p: Option<f64>,
    /// Ban tokens: they are never drawn and do not count in the scores. Takes mask, pad, bos, eos, ids, and ranges such as 5-8,
    /// separated by commas. Ids without a token are banned too, except with --no-ban
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_value = "mask")]
    ban: Vec<Banned>,
    /// Ban nothing, not even ids without a token. The mask counts in the scores, but is never drawn
    #[arg(long, conflicts_with = "ban")]
    no_ban: bool,
    /// Subtract NATS from the logits of the end-of-sequence and padding tokens [default: 0]
    #[arg(long, value_name = "NATS", value_parser = non_negative)]
    eos_penalty: Option<f64>,
    /// Ban end-of-sequence tokens at the first N generated positions [default: 0]
    #[arg(long, value_name = "N", value_parser = integer(0..=u32::MAX))]
    min_length: Option<u32>,
    /// Repetition penalty (CTRL), at least 1: for tokens that are already in the sequence, divide positive logits by THETA and
    /// multiply negative ones by THETA [default: 1]
    #[arg(long, value_name = "THETA", value_parser = |text: &str| accepted(text, RepetitionPenalty::new))]
    repetition_penalty: Option<f64>,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        // 0 stands for argmax, which is not a temperature of the library.
        Ok(0.0) => Ok(0.0),
        _ => accepted(text, Temperature::new)
            .map_err(|_| "expected 0, or a finite 32-bit number above 0".to_owned()),
    }
}

fn top_k(text: &str) -> Result<usize, String> {
    let k = text.parse().map_err(|_| "expected a whole number")?;
    flag::value(text, TopK::new(k)).map(|_| k)
}

impl FilterArguments {
    /// Sets the checkpoint's recommendations where no flag is given. Returns them as flags.
    pub fn take_defaults(&self, config: &GenerationConfig, filters: &mut Filters) -> Vec<String> {
        let mut flags = Vec::new();
        if let (None, Some(temperature)) = (self.temperature, config.temperature) {
            filters.temperature = temperature;
            flags.push(format!("--temperature {temperature}"));
        }
        // transformers writes "no limit" as top_p = 1 and top_k = 0.
        if let (None, Some(p)) = (self.top_p, config.top_p.filter(|&p| p < 1.0)) {
            filters.top_p = Some(p);
            flags.push(format!("--top-p {p}"));
        }
        if let (None, Some(k)) = (self.top_k, config.top_k.filter(|&k| k > 0)) {
            filters.top_k = Some(k);
            flags.push(format!("--top-k {k}"));
        }
        flags
    }

    /// The settings of the flags.
    pub fn settings(&self) -> Filters {
        Filters {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            ban: self.ban.clone(),
            no_ban: self.no_ban,
            eos_penalty: self.eos_penalty,
            min_length: self.min_length,
            repetition_penalty: self.repetition_penalty,
        }
    }
}
