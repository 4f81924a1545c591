//! The sampling arguments that several commands share.

use std::path::PathBuf;

use clap::Args;
use conjoint::export::TokenName;
use conjoint_lab::registry::{CacheSpec, OrderSpec};
use conjoint_lab::{Error, GenerationConfig, Recommended, Sampling, ScorerSpec, Stops};

use crate::filters::FilterArguments;
use crate::names;
use crate::numbers::{integer, non_negative, positive, share};

/// Filters, order, blocks, guidance and stops.
#[derive(Args)]
pub struct SamplingArguments {
    /// Order in which positions are revealed: entropy, confidence, margin, random, left-to-right and more (`conjoint
    /// strategies` lists all) [default: entropy]
    #[arg(long, value_name = "ORDER", value_parser = names::order)]
    order: Option<OrderSpec>,
    /// Draw the positions from softmax(score / T), with the scores of --order, as Dream's alg_temp does [default: reveal those of
    /// the highest score]
    #[arg(long, value_name = "T", value_parser = positive)]
    order_temperature: Option<f64>,
    /// Generate in blocks of B tokens, from left to right. In a block-causal model, blocks count from position 0, and B divides the
    /// length of its attention blocks or is a multiple of it [default: the model's attention blocks, or else one block]
    #[arg(long, value_name = "B", value_parser = integer(1..=u32::MAX))]
    block_length: Option<u32>,
    /// Open the next block once this share of the last one is known, and reveal in all open blocks [default: open it once
    /// the last one is full]
    #[arg(long, value_name = "SHARE", requires = "block_length", value_parser = share)]
    open_next_block: Option<f64>,
    #[command(flatten)]
    filters: FilterArguments,
    /// Scale of classifier-free guidance, which moves away from the model without the prompt; 0 is none
    #[arg(long, value_name = "W", default_value = "0", value_parser = non_negative)]
    cfg_scale: f64,
    /// Use the sampler layer of the export in this folder [default: the model's own layer]
    #[arg(long, value_name = "DIR")]
    sampler: Option<PathBuf>,
    /// Cache of keys and values: none, prefix, dual, vicinity:16, delayed and more (`conjoint strategies` lists all). A forward
    /// then computes a part of the positions. All but `none` are approximations; they need --block-length to pay [default: none,
    /// or the exact cache of a model with block-causal attention]
    #[arg(long, value_name = "CACHE", value_parser = names::cache)]
    cache: Option<CacheSpec>,
    /// Autoregressive model over the model's own token ids, for the unmaskers energy, copula and prefix-acceptance.
    /// ngram:N:FILE counts n-grams of up to N tokens in the texts of FILE, one per line, with \n for a line break. onnx:FILE is a
    /// causal language model; onnx:FILE@ID puts the token ID before every text
    #[arg(long, value_name = "SCORER")]
    scorer: Option<ScorerSpec>,
    /// Finish a sequence once nothing before its first end-of-sequence token is masked. Positions after that token become
    /// padding and cost no forwards
    #[arg(long)]
    stop_at_eos: bool,
    /// End sequences at this token instead of the model's own end tokens. Takes an id, or the token as the tokenizer writes it.
    /// May be repeated. Implies --stop-at-eos
    #[arg(long, value_name = "ID|TOKEN")]
    eos: Vec<TokenName>,
    /// End sequences at this text too, even if it begins or ends within a token. May be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = integer(1..=u16::MAX))]
    batch_size: u16,
}

impl SamplingArguments {
    /// Sets the checkpoint's recommendations where no flag is given. Returns them as flags.
    pub fn take_defaults(&self, config: &GenerationConfig, sampling: &mut Sampling) -> Vec<String> {
        let mut flags = self.filters.take_defaults(config, &mut sampling.filters);
        if !self.stop_at_eos && self.eos.is_empty() && config.eos_token_id.is_some() {
            sampling.stops.at_eos = true;
            flags.push("--stop-at-eos".to_owned());
        }
        flags
    }

    /// Sets the order of a recommended strategy where no flag is given. Returns it as flags.
    ///
    /// # Errors
    /// [`Error::Name`] if there is no such order.
    pub fn take_order(
        &self,
        recommended: &Recommended,
        sampling: &mut Sampling,
    ) -> Result<Vec<String>, Error> {
        let mut flags = Vec::new();
        if let (None, Some(order)) = (&self.order, recommended.order) {
            sampling.order = Some(names::registry().order(order)?);
            flags.push(format!("--order {order}"));
        }
        if let (None, Some(temperature)) = (self.order_temperature, recommended.order_temperature) {
            sampling.order_temperature = Some(temperature);
            flags.push(format!("--order-temperature {temperature}"));
        }
        Ok(flags)
    }

    /// The settings of the flags.
    pub fn settings(&self) -> Sampling {
        Sampling {
            order: self.order.clone(),
            order_temperature: self.order_temperature,
            block_length: self.block_length,
            open_next_block: self.open_next_block,
            filters: self.filters.settings(),
            cfg_scale: self.cfg_scale,
            sampler: self.sampler.clone(),
            cache: self.cache.clone(),
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
