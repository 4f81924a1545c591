use std::sync::Arc;

use super::Generator;
use super::output::FinishReason;
use crate::draw::TopRule;
use crate::filter::{self, Ban};
use crate::observation::RowConfig;
use crate::stop::AtTokens;
use crate::{Error, Filter, Stop, TokenId};

/// The settings that all sequences of a generator share.
pub(super) struct Config {
    pub rows: RowConfig,
    pub block_length: Option<usize>,
    /// Whether blocks count from position 0, as the attention blocks of the model do.
    pub aligned: bool,
    /// The share of a block that must be known before the next one opens beside it.
    pub open_next: Option<f64>,
    pub stop: Option<StopRules>,
}

/// The rules that end a sequence early.
#[derive(Clone)]
pub(super) struct StopRules {
    /// Each rule with the finish reason of a sequence that it ends.
    pub rules: Vec<(Arc<dyn Stop>, FinishReason)>,
    /// Positions after the end are filled with this token.
    pub fill: TokenId,
}

impl StopRules {
    fn of(generator: &Generator) -> Result<Option<Self>, Error> {
        let vocabulary = generator.vocabulary();
        let mut ids = generator.stop_tokens.clone();
        if generator.stop_at_eos {
            if vocabulary.eos().is_none() {
                let expected = "a model with an end-of-sequence id";
                return Err(Error::parameter("stop at eos", true, expected));
            }
            ids.splice(0..0, vocabulary.eos_ids().iter().copied());
        }
        if let Some(id) = ids.iter().find(|&&id| id == vocabulary.mask()) {
            return Err(Error::parameter("stop token", id, "an id other than the mask id"));
        }
        // Some models pad with the mask id, which cannot fill the rest.
        let pad = vocabulary.pad().filter(|&pad| pad != vocabulary.mask());
        let fill = pad.or(vocabulary.eos()).or(ids.first().copied());
        let texts = generator.stops.iter().cloned().map(|rule| (rule, FinishReason::Stop));
        let mut rules: Vec<(Arc<dyn Stop>, _)> = Vec::new();
        if !ids.is_empty() {
            rules.push((Arc::new(AtTokens(ids)), FinishReason::EndOfSequence));
        }
        rules.extend(texts);
        match (rules.is_empty(), fill) {
            (true, _) => Ok(None),
            (false, Some(fill)) => Ok(Some(Self { rules, fill })),
            (false, None) => {
                let expected = "a model with a padding or end-of-sequence id, which fills the positions after the end";
                Err(Error::parameter("stop", rules.len(), expected))
            }
        }
    }

    /// One past the first end among these tokens, and the reason. A tie goes to the rule that was added
    /// first.
    pub fn first(&self, tokens: &[TokenId]) -> Option<(usize, FinishReason)> {
        let ends = self.rules.iter().filter_map(|(rule, reason)| {
            // A user's rule may return any number.
            rule.end(tokens).map(|end| (end.clamp(1, tokens.len()), *reason))
        });
        ends.min_by_key(|&(end, _)| end)
    }
}

impl Config {
    pub fn of(generator: &Generator) -> Result<Self, Error> {
        let vocabulary = generator.vocabulary();
        let ban = Ban::new(generator.ban.iter().copied());
        let filter: Arc<dyn Filter> = match &generator.filter {
            Some(filter) => Arc::new(ban.then(filter.clone())),
            None => Arc::new(ban),
        };
        let top_k = filter::top_k_request(&*filter, vocabulary.mask(), vocabulary.size());
        Ok(Self {
            rows: RowConfig {
                top_k: top_k.filter(|_| generator.draw.top_rule() != TopRule::WholeRow),
                filter,
                draw: generator.draw.clone(),
                vocabulary_size: vocabulary.size(),
            },
            block_length: block_length(generator)?,
            aligned: generator.model.attention_block().is_some(),
            open_next: generator.open_next,
            stop: StopRules::of(generator)?,
        })
    }
}

/// The length of blocks: that of the generator, or else that of the model's attention blocks.
fn block_length(generator: &Generator) -> Result<Option<usize>, Error> {
    let (own, model) = (generator.block_length, generator.model.attention_block());
    match (own, model) {
        (Some(block), Some(attention_block))
            if !attention_block.is_multiple_of(block) && !block.is_multiple_of(attention_block) =>
        {
            Err(Error::BlockNotAligned { block, attention_block })
        }
        _ => Ok(own.or(model)),
    }
}
