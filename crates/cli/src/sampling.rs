//! From what, where and how many at a time tokens are drawn: the arguments that all sampling shares.

use std::path::PathBuf;

use clap::Args;
use conjoint::export::TokenName;
use conjoint_lab::registry::OrderSpec;
use conjoint_lab::{Error, GenerationConfig, Recommended, Sampling, ScorerSpec, Stops};

use crate::filters::FilterArguments;
use crate::names;
use crate::numbers::{non_negative, positive, share};

/// From what, and where, and how many at a time tokens are drawn.
#[derive(Args)]
pub struct SamplingArguments {
    /// Where tokens are revealed first (`conjoint strategies` lists every order) [default: entropy]
    #[arg(long, value_name = "ORDER", value_parser = names::order)]
    order: Option<OrderSpec>,
    /// Draw positions from softmax(score / T) of the order instead of taking the best (Dream's alg_temp)
    #[arg(long, value_name = "T", value_parser = positive)]
    order_temperature: Option<f64>,
    /// Generate in blocks of this many tokens, from left to right [default: one block]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    block_length: Option<u32>,
    /// Open the next block once this share of the last one is known, and work on all that are open
    /// [default: once it is full]
    #[arg(long, value_name = "SHARE", requires = "block_length", value_parser = share)]
    open_next_block: Option<f64>,
    #[command(flatten)]
    filters: FilterArguments,
    /// Classifier-free guidance: how far beyond the model without the prompt; 0 is none
    #[arg(long, value_name = "W", default_value = "0", value_parser = non_negative)]
    cfg_scale: f64,
    /// Folder of another export whose sampler layer to use [default: the model's own]
    #[arg(long, value_name = "DIR")]
    sampler: Option<PathBuf>,
    /// An autoregressive scorer for energy, copula and prefix-acceptance, over the model's own token ids:
    /// ngram:N:FILE counts n-grams of up to N tokens in FILE, one text a line, with \n for a line's end inside
    /// a text; onnx:FILE is a causal language model, onnx:FILE@ID one that wants the token ID before every text
    #[arg(long, value_name = "SCORER")]
    scorer: Option<ScorerSpec>,
    /// Finish a sequence once nothing before its first end-of-sequence token is masked; what follows that token
    /// costs no forwards and becomes padding
    #[arg(long)]
    stop_at_eos: bool,
    /// A token that ends a sequence, as its id or as the tokenizer writes it, instead of the model's own; may be repeated.
    /// Implies --stop-at-eos
    #[arg(long, value_name = "ID|TOKEN")]
    eos: Vec<TokenName>,
    /// Finish a sequence at this text too, wherever it begins and ends; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
}

impl SamplingArguments {
    /// Takes what no flag sets from the checkpoint's recommendation; returns it as flags.
    pub fn take_defaults(&self, config: &GenerationConfig, sampling: &mut Sampling) -> Vec<String> {
        let mut shown = self.filters.take_defaults(config, &mut sampling.filters);
        if !self.stop_at_eos && self.eos.is_empty() && config.eos_token_id.is_some() {
            sampling.stops.at_eos = true;
            shown.push("--stop-at-eos".to_owned());
        }
        shown
    }

    /// Takes the order of a recommended strategy where no flag sets one; returns it as flags.
    ///
    /// # Errors
    /// The order has no such name.
    pub fn take_order(
        &self,
        recommended: &Recommended,
        sampling: &mut Sampling,
    ) -> Result<Vec<String>, Error> {
        let mut shown = Vec::new();
        if let (None, Some(order)) = (&self.order, recommended.order) {
            sampling.order = Some(names::order(order)?);
            shown.push(format!("--order {order}"));
        }
        if let (None, Some(temperature)) = (self.order_temperature, recommended.order_temperature) {
            sampling.order_temperature = Some(temperature);
            shown.push(format!("--order-temperature {temperature}"));
        }
        Ok(shown)
    }

    /// What the flags set.
    pub fn settings(&self) -> Sampling {
        Sampling {
            order: self.order.clone(),
            order_temperature: self.order_temperature,
            block_length: self.block_length,
            open_next_block: self.open_next_block,
            filters: self.filters.settings(),
            cfg_scale: self.cfg_scale,
            sampler: self.sampler.clone(),
            scorer: self.scorer.clone(),
            stops: Stops {
                at_eos: self.stop_at_eos,
                eos: self.eos.clone(),
                tokens: Vec::new(),
                texts: self.stop.clone(),
            },
            batch_size: self.batch_size,
        }
    }
}
