use std::sync::Arc;

use super::Generator;
use super::output::FinishReason;
use crate::draw::TopRule;
use crate::filter::Ban;
use crate::observation::RowConfig;
use crate::stop::AtTokens;
use crate::top_k_rows::TopKRequest;
use crate::{Error, Filter, Stop, TokenId};

/// The settings that sequences of one generator share.
pub(super) struct Config {
    pub rows: RowConfig,
    pub block_length: Option<usize>,
    /// The share of a block that must be known for the next one to be opened beside it.
    pub open_next: Option<f64>,
    pub stop: Option<Ends>,
}

/// What ends a sequence early.
#[derive(Clone)]
pub(super) struct Ends {
    /// The rules, and what a sequence that one of them ended says of it.
    pub rules: Vec<(Arc<dyn Stop>, FinishReason)>,
    /// Whatever comes after the end is filled up with this token.
    pub fill: TokenId,
}

impl Ends {
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
            return Err(Error::parameter("stop token", id, "another id than the mask's"));
        }
        // Some models pad with their mask, which would leave the rest to do.
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
                let expected = "a model with a padding or end-of-sequence id, which fills what follows the end";
                Err(Error::parameter("stop", rules.len(), expected))
            }
        }
    }

    /// Just behind the first end of these tokens, and why it is one; the rule named first wins a tie.
    pub fn first(&self, tokens: &[TokenId]) -> Option<(usize, FinishReason)> {
        let ends = self.rules.iter().filter_map(|(rule, reason)| {
            // What a rule of one's own says is held to the tokens that there are.
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
        let top_k = TopKRequest::of(&*filter, vocabulary.mask(), vocabulary.size());
        Ok(Self {
            rows: RowConfig {
                top_k: top_k.filter(|_| generator.draw.top_rule() != TopRule::WholeRow),
                filter,
                draw: generator.draw.clone(),
                vocabulary_size: vocabulary.size(),
            },
            block_length: generator.block_length,
            open_next: generator.open_next,
            stop: Ends::of(generator)?,
        })
    }
}
