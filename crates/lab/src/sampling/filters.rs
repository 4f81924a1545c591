use std::sync::Arc;

use conjoint::filter::{MinLength, Penalty, RepetitionPenalty};
use conjoint::prelude::*;

use super::Banned;
use crate::Error;
use crate::error::for_parameter;

/// The filters of the distributions that tokens are drawn from.
#[derive(Debug, Clone)]
pub struct Filters {
    /// The temperature: divides the logits. 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps the N most probable tokens.
    pub top_k: Option<usize>,
    /// Keeps the most probable tokens that sum to more than P.
    #[doc(alias = "nucleus")]
    pub top_p: Option<f64>,
    /// Keeps tokens with at least P times the largest probability.
    pub min_p: Option<f64>,
    /// Tokens that are never drawn and do not count in the scores.
    pub ban: Vec<Banned>,
    /// Bans no token: every token counts in the scores, even the mask, which is never drawn.
    pub no_ban: bool,
    /// Subtracts this many nats from the logits of the end-of-sequence and padding tokens.
    pub eos_penalty: Option<f64>,
    /// Bans the end of the sequence before this many tokens.
    pub min_length: Option<u32>,
    /// Makes tokens of the sequence less likely, by this factor of their logits (CTRL), at least 1.
    pub repetition_penalty: Option<f64>,
}

impl Default for Filters {
    /// No filter, except that the mask is banned.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            ban: vec![Banned::Mask],
            no_ban: false,
            eos_penalty: None,
            min_length: None,
            repetition_penalty: None,
        }
    }
}

impl Filters {
    /// Whether the most probable token is taken instead of a drawn one.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The banned tokens as text, if there are others than the mask.
    pub fn bans(&self) -> Option<String> {
        let bans: Vec<_> = self.ban.iter().map(Banned::to_string).collect();
        (!self.no_ban && self.ban != [Banned::Mask]).then(|| bans.join(","))
    }

    /// The banned ids, including those that [have no token](Vocabulary::unassigned).
    ///
    /// # Errors
    /// [`Error::Parameter`] for `ban`.
    pub fn banned(&self, vocabulary: &Vocabulary) -> Result<Vec<TokenId>, Error> {
        match self.no_ban {
            true => Ok(Vec::new()),
            false => {
                let mut ids: Vec<TokenId> = vocabulary.unassigned().collect();
                for banned in &self.ban {
                    ids.extend(banned.ids(vocabulary)?);
                }
                Ok(ids)
            }
        }
    }

    /// The filters in their order. `ends` are the ids that end a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the filter with an invalid value.
    pub fn filter(
        &self,
        vocabulary: &Vocabulary,
        ends: &[TokenId],
    ) -> Result<Vec<Arc<dyn Filter>>, Error> {
        let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
        let ends = |name, value: &dyn ToString| -> Result<Vec<TokenId>, Error> {
            let ends: Vec<_> = ends.iter().copied().chain(vocabulary.pad()).collect();
            let absent = "the model has neither an end-of-sequence nor a padding id";
            match ends.is_empty() {
                true => Err(Error::parameter(name, value.to_string(), absent)),
                false => Ok(ends),
            }
        };
        if let Some(nats) = self.eos_penalty {
            let penalty = Penalty::new(ends("eos penalty", &nats)?, nats);
            filters.push(Arc::new(for_parameter("eos penalty", nats, penalty)?));
        }
        if let Some(length) = self.min_length {
            let ends = ends("min length", &length)?;
            filters.push(Arc::new(MinLength::new(length as usize, ends)));
        }
        if let Some(theta) = self.repetition_penalty {
            let penalty = RepetitionPenalty::new(theta);
            filters.push(Arc::new(for_parameter("repetition penalty", theta, penalty)?));
        }
        if !self.is_greedy() {
            let t = self.temperature;
            filters.push(Arc::new(for_parameter("temperature", t, Temperature::new(t))?));
        }
        if let Some(k) = self.top_k {
            filters.push(Arc::new(for_parameter("top k", k, TopK::new(k))?));
        }
        if let Some(p) = self.top_p {
            filters.push(Arc::new(for_parameter("top p", p, TopP::new(p))?));
        }
        if let Some(p) = self.min_p {
            filters.push(Arc::new(for_parameter("min p", p, MinP::new(p))?));
        }
        Ok(filters)
    }

    /// All filters in one line.
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
