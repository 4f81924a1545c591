use clap::Args;
use conjoint::filter::RepetitionPenalty;
use conjoint::prelude::*;
use conjoint_lab::{Banned, Filters, GenerationConfig};

use crate::numbers::{accepted, non_negative};

/// From what tokens are drawn.
#[derive(Args)]
pub struct FilterArguments {
    /// Divides the logits; 0 takes the most probable token [default: 1]
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Keep the N most probable tokens
    #[arg(long, value_name = "N", value_parser = top_k)]
    top_k: Option<usize>,
    /// Keep the most probable tokens that sum to more than P
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, TopP::new))]
    top_p: Option<f64>,
    /// Keep tokens with at least P times the largest probability
    #[arg(long, value_name = "P", value_parser = |text: &str| accepted(text, MinP::new))]
    min_p: Option<f64>,
    /// Tokens never to draw nor count: mask, pad, bos, eos, ids, or ranges of ids as 5-8; ids without a token are banned anyway
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
    /// Takes what no flag sets from the checkpoint's recommendation; returns it as flags.
    pub fn take_defaults(&self, config: &GenerationConfig, filters: &mut Filters) -> Vec<String> {
        let mut shown = Vec::new();
        if let (None, Some(temperature)) = (self.temperature, config.temperature) {
            filters.temperature = temperature;
            shown.push(format!("--temperature {temperature}"));
        }
        // Both as transformers writes "no limit".
        if let (None, Some(p)) = (self.top_p, config.top_p.filter(|&p| p < 1.0)) {
            filters.top_p = Some(p);
            shown.push(format!("--top-p {p}"));
        }
        if let (None, Some(k)) = (self.top_k, config.top_k.filter(|&k| k > 0)) {
            filters.top_k = Some(k);
            shown.push(format!("--top-k {k}"));
        }
        shown
    }

    /// What the flags set.
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
