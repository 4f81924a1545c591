//! From what, where and in which portions tokens are drawn: the arguments that all sampling shares.

mod banned;
mod filters;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use conjoint::guidance::ClassifierFree;
use conjoint::order::Randomised;
use conjoint::prelude::*;
use conjoint::unmasker::Strategy;

use crate::files;
use crate::flag::{BadFlag, blame};
use crate::model::Model;
use crate::numbers::{non_negative, positive, share};
use crate::registry::{Context, OrderName, Part, ScheduleName, UnmaskerName, Uses, refuse_unused};
use crate::scorer::ScorerName;
use filters::FilterArguments;

/// From what, and where, and in which portions tokens are drawn.
#[derive(Args)]
pub struct SamplingArguments {
    /// Where tokens are revealed first (`conjoint strategies` lists every order) [default: entropy]
    #[arg(long, value_name = "ORDER")]
    order: Option<OrderName>,
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
    pub filters: FilterArguments,
    /// Classifier-free guidance: how far beyond the model without the prompt; 0 is none
    #[arg(long, value_name = "W", default_value = "0", value_parser = non_negative)]
    cfg_scale: f64,
    /// Folder of another export whose sampler layer to use [default: the model's own]
    #[arg(long, value_name = "DIR")]
    pub sampler: Option<PathBuf>,
    /// An autoregressive scorer for energy, copula and prefix-acceptance, over the model's own token ids:
    /// ngram:N:FILE counts n-grams of up to N tokens in FILE, one text a line, with \n for a line's end inside
    /// a text; onnx:FILE is a causal language model, onnx:FILE@ID one that wants the token ID before every text
    #[arg(long, value_name = "SCORER")]
    pub scorer: Option<ScorerName>,
    /// Finish a sequence once nothing before its first end-of-sequence token is masked; what follows that token
    /// costs no forwards and becomes padding
    #[arg(long)]
    stop_at_eos: bool,
    /// Largest number of sequences in one forward
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
}

impl SamplingArguments {
    /// Refuses flags that none of the strategies about to run takes; the order may be used apart from them.
    pub fn check(&self, strategies: &[Uses<'_>], order_is_used: bool) -> Result<(), BadFlag> {
        let Self { order, order_temperature, sampler, scorer, .. } = self;
        let given = [
            (order.as_ref().map(|order| ("--order", order.to_string())), Part::Order),
            (order_temperature.map(|t| ("--order-temperature", t.to_string())), Part::Order),
            (
                sampler.as_ref().map(|folder| ("--sampler", folder.display().to_string())),
                Part::Sampler,
            ),
            (scorer.as_ref().map(|scorer| ("--scorer", scorer.to_string())), Part::Scorer),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(flag, part)| Some((flag?, part)))
            .filter(|(_, part)| !(order_is_used && *part == Part::Order));
        given.try_for_each(|(flag, part)| refuse_unused(flag, part, strategies))
    }

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
        if self.stop_at_eos && vocabulary.eos().is_none() {
            let reason = "the model has no end-of-sequence id";
            return Err(BadFlag::new("--stop-at-eos", true, reason).into());
        }
        let guided = self.guided(model)?;
        let context = Context {
            model: model.clone(),
            guided: guided.clone(),
            order: self.order()?,
            sampler: self.sampler.clone(),
            scorer: self.scorer.as_ref().map(|scorer| model.scorer(scorer)).transpose()?,
            greedy: self.filters.greedy(),
        };
        let mut generator = Generator::new(guided)
            .unmasker(around(unmasker.make(flag, &context)?))
            .schedule(schedule.schedule())
            .ban(self.filters.banned(vocabulary)?)
            .filter(self.filters.filter(vocabulary)?)
            .stop_at_eos(self.stop_at_eos)
            .batch_size(usize::from(self.batch_size))?;
        if self.filters.greedy() {
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

    /// Names the flag behind an error of a run; `flag` gave its schedule, as this value.
    pub fn blame(
        &self,
        (flag, value): (&'static str, &dyn ToString),
        error: conjoint::Error,
    ) -> anyhow::Error {
        use conjoint::Error;
        let (flag, value) = match &error {
            Error::StepsNotDivisible { .. } | Error::NeedsSteps { .. } => (flag, value.to_string()),
            Error::BlockNotDividing { block, .. } => ("--block-length", block.to_string()),
            Error::EmptyRow { .. } => match self.filters.bans() {
                Some(bans) => ("--ban", bans),
                None => return error.into(),
            },
            Error::Parameter { .. } if self.open_next_block.is_some() => {
                ("--open-next-block", self.open_next_block.unwrap_or_default().to_string())
            }
            _ => return error.into(),
        };
        BadFlag::new(flag, value, error).into()
    }

    /// How many passes of the model a forward is, and of the layer a sampler pass: guidance takes two.
    pub fn passes(&self, model: &Model) -> Result<usize, BadFlag> {
        Ok(self.guided(model)?.passes())
    }

    fn guided(&self, model: &Model) -> Result<ClassifierFree<Arc<OnnxDenoiser>>, BadFlag> {
        let w = self.cfg_scale;
        blame("--cfg-scale", w, ClassifierFree::new(model.denoiser.clone(), w))
    }

    /// A checksum of the file that the order was made from, if any.
    pub fn order_checksum(&self) -> Result<Option<String>, BadFlag> {
        let file = self.order.as_ref().and_then(OrderName::file);
        file.map(|file| blame("--order", file, files::checksum(Path::new(file)))).transpose()
    }

    /// The order as it was named.
    pub fn order_name(&self) -> String {
        self.order.as_ref().map_or_else(|| "entropy".to_owned(), OrderName::to_string)
    }

    /// The order without its temperature.
    pub fn plain_order(&self) -> Arc<dyn Order> {
        self.order.as_ref().map_or_else(|| Arc::new(Entropy) as Arc<dyn Order>, OrderName::order)
    }

    fn order(&self) -> Result<Arc<dyn Order>, BadFlag> {
        let order = self.plain_order();
        Ok(match self.order_temperature {
            None => order,
            Some(t) => Arc::new(blame("--order-temperature", t, Randomised::new(order, t))?),
        })
    }

    /// All that decides what is sampled, but for strategy, schedule, seed and sampler layer.
    pub fn description(&self) -> String {
        let Self { order_temperature, block_length, open_next_block, cfg_scale, scorer, .. } = self;
        let (order, stop_at_eos) = (self.order_name(), self.stop_at_eos);
        let filters = self.filters.description();
        format!(
            "order {order} {order_temperature:?}, blocks {block_length:?} {open_next_block:?}, {filters}, \
             cfg {cfg_scale}, scorer {scorer:?}, stop at eos {stop_at_eos}"
        )
    }
}
