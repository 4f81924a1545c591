use std::sync::Arc;

use super::Generator;
use crate::condensed::TopKRequest;
use crate::draw::TopRule;
use crate::filter::Ban;
use crate::observation::RowConfig;
use crate::{Error, Filter, TokenId};

/// The settings that sequences of one generator share.
pub(super) struct Config {
    pub rows: RowConfig,
    pub block_length: Option<usize>,
    /// The share of a block that must be known for the next one to be opened beside it.
    pub open_next: Option<f64>,
    pub stop: Option<Stop>,
}

/// What ends a sequence early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Whatever comes after this token is
    pub eos: TokenId,
    /// filled up with this one.
    pub fill: TokenId,
}

impl Config {
    pub fn of(generator: &Generator) -> Result<Self, Error> {
        let vocabulary = generator.vocabulary();
        // Some models pad with their mask, which would leave the rest to do.
        let pad = vocabulary.pad().filter(|&pad| pad != vocabulary.mask());
        let stop = match (generator.stop_at_eos, vocabulary.eos()) {
            (false, _) => None,
            (true, Some(eos)) => Some(Stop { eos, fill: pad.unwrap_or(eos) }),
            (true, None) => {
                let expected = "a model with an end-of-sequence id";
                return Err(Error::parameter("stop at eos", true, expected));
            }
        };
        let ban = Ban::new(generator.ban.iter().copied());
        let filter: Arc<dyn Filter> = match &generator.filter {
            Some(filter) => Arc::new(ban.then(filter.clone())),
            None => Arc::new(ban),
        };
        let condense = TopKRequest::of(&*filter, vocabulary.mask(), vocabulary.size());
        Ok(Self {
            rows: RowConfig {
                condense: condense.filter(|_| generator.draw.top_rule() != TopRule::WholeRow),
                filter,
                draw: generator.draw.clone(),
                vocabulary_size: vocabulary.size(),
            },
            block_length: generator.block_length,
            open_next: generator.open_next,
            stop,
        })
    }
}
