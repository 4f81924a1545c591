use std::sync::Arc;

use conjoint::filter::{MinLength, Penalty, RepetitionPenalty};
use conjoint::prelude::*;

use super::Banned;
use crate::Error;
use crate::error::refused;

/// From what tokens are drawn.
#[derive(Debug, Clone)]
pub struct Filters {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Keeps the N most probable tokens.
    pub top_k: Option<usize>,
    /// Keeps the most probable tokens that sum to more than P.
    pub top_p: Option<f64>,
    /// Keeps tokens with at least P times the largest probability.
    pub min_p: Option<f64>,
    /// Tokens never to draw nor count.
    pub ban: Vec<Banned>,
    /// Counts every token in the scores, the mask id included (which is still never drawn).
    pub no_ban: bool,
    /// Subtracts this many nats from the logits of the end-of-sequence and padding tokens.
    pub eos_penalty: Option<f64>,
    /// Rules the end of the sequence out before this many tokens are generated.
    pub min_length: Option<u32>,
    /// Makes tokens already there less likely, by this factor of their logits (CTRL), at least 1.
    pub repetition_penalty: Option<f64>,
}

impl Default for Filters {
    /// The model's own distributions, without the mask.
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
    /// Whether the most probable token is taken instead of drawing one.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The banned tokens as they are written, if they are more than the mask.
    pub fn bans(&self) -> Option<String> {
        let bans: Vec<_> = self.ban.iter().map(Banned::to_string).collect();
        (!self.no_ban && self.ban != [Banned::Mask]).then(|| bans.join(","))
    }

    /// The ids never to draw nor count, with those that [have no token](Vocabulary::unassigned).
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

    /// The filters, in the order in which they are applied; `ends` are the ids that end a sequence.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the filter that cannot be used.
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
            filters.push(Arc::new(refused("eos penalty", nats, penalty)?));
        }
        if let Some(length) = self.min_length {
            let ends = ends("min length", &length)?;
            filters.push(Arc::new(MinLength::new(length as usize, ends)));
        }
        if let Some(theta) = self.repetition_penalty {
            let penalty = RepetitionPenalty::new(theta);
            filters.push(Arc::new(refused("repetition penalty", theta, penalty)?));
        }
        if !self.is_greedy() {
            let t = self.temperature;
            filters.push(Arc::new(refused("temperature", t, Temperature::new(t))?));
        }
        if let Some(k) = self.top_k {
            filters.push(Arc::new(refused("top k", k, TopK::new(k))?));
        }
        if let Some(p) = self.top_p {
            filters.push(Arc::new(refused("top p", p, TopP::new(p))?));
        }
        if let Some(p) = self.min_p {
            filters.push(Arc::new(refused("min p", p, MinP::new(p))?));
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
