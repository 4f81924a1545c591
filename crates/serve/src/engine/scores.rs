//! Log-probabilities of revealed tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use conjoint::prelude::*;
use conjoint::unmasker::DynUnmasker;
use conjoint::{RowStats, StepRequest};

/// A revealed token with its log-probability, and the most probable tokens of its row.
///
/// The row is the one that the token was drawn from, before temperature and filters, without the mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The token.
    pub token: TokenId,
    /// ln p, in nats.
    pub log_p: f64,
    /// The most probable tokens and their ln p, the most probable first.
    pub top: Vec<(TokenId, f64)>,
}

/// The scores of one sequence by position.
#[derive(Debug, Clone, Default)]
pub struct Scores(Arc<Mutex<BTreeMap<usize, Score>>>);

impl Scores {
    /// Wraps an unmasker, so that the scores of its reveals are kept here, with `top` tokens of each row.
    pub fn of(&self, inner: Box<dyn DynUnmasker>, top: usize) -> impl Unmasker + Clone + use<> {
        Scored { inner, top, scores: self.clone() }
    }

    /// The score of a position. `None` if a strategy drew its token from a row of its own.
    pub fn at(&self, position: usize) -> Option<Score> {
        self.lock().get(&position).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Score>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Scored {
    inner: Box<dyn DynUnmasker>,
    top: usize,
    scores: Scores,
}

impl Unmasker for Scored {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.inner.plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.inner.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let next = self.inner.decide(view)?;
        let reveals: Vec<(usize, TokenId)> = view.reveals().collect();
        for (position, token) in reveals {
            let place = view.candidates().binary_search_by_key(&position, |c| c.position);
            let score = match place {
                Ok(place) => score(view, Row::candidate(place), token, self.top)?,
                Err(_) => None,
            };
            let mut scores = self.scores.lock();
            match score {
                Some(score) => scores.insert(position, score),
                None => scores.remove(&position),
            };
        }
        Ok(next)
    }

    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }
}

/// `None` if no token of the row is possible.
fn score(view: &View<'_>, row: Row, token: TokenId, top: usize) -> Result<Option<Score>, Error> {
    let mut logits = view.logits(row)?.to_vec();
    logits[view.canvas().mask() as usize] = f32::NEG_INFINITY;
    let Some(stats) = RowStats::of(&logits) else { return Ok(None) };
    let log_p = |logit: f32| f64::from(logit) - stats.log_z;
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    let by_logit = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if top < ids.len() {
        ids.select_nth_unstable_by(top, by_logit);
        ids.truncate(top);
    }
    ids.sort_unstable_by(by_logit);
    let top = ids.into_iter().map(|id| (id as TokenId, log_p(logits[id]))).collect();
    Ok(Some(Score { token, log_p: log_p(logits[token as usize]), top }))
}
