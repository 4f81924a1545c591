use std::collections::BTreeMap;

use conjoint::order;
use conjoint::policy::Ranked;
use conjoint::prelude::*;
use conjoint::schedule::{self, Progress};
use conjoint::strategy::Strategy;

use crate::Drafts;

/// WINO's wide-in (arXiv 2507.18578): reveals every token with a confidence above τ₁, and always the best one.
///
/// It reveals at most 70 % of the masked positions. This cap is at least 5 and at most 20.
#[derive(Clone, Copy)]
pub struct WideIn {
    /// τ₁.
    pub reveal: f64,
}

impl Schedule for WideIn {
    fn plan(&self, progress: &Progress) -> usize {
        progress.masked
    }

    fn quota(&self, progress: &Progress, ranked: schedule::Ranking<'_>) -> usize {
        let cap = match progress.masked * 7 / 10 {
            share @ 5..20 => share,
            ..5 => 5,
            _ => 20,
        };
        let confident = ranked.iter().take_while(|candidate| candidate.confidence > self.reveal);
        confident.take(cap).count().max(1)
    }
}

/// WINO's narrow-out (arXiv 2507.18578): masks a token again if its probability with its position masked is
/// below τ₂.
///
/// A step masks fewer tokens than the step before revealed, the least probable first. A step that reveals one
/// position masks none.
#[derive(Clone, Default)]
pub struct NarrowOut {
    keep: f64,
    /// How many tokens were revealed since the last `plan`.
    revealed: usize,
    /// How many may be masked again in this step.
    allowed: usize,
    queries: BTreeMap<usize, Query>,
}

impl NarrowOut {
    /// Uses τ₂ = `keep`.
    pub fn new(keep: f64) -> Self {
        Self { keep, ..Self::default() }
    }
}

impl Reviser for NarrowOut {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        self.allowed = std::mem::take(&mut self.revealed).saturating_sub(1);
        if self.allowed > 0 && self.keep > 0.0 {
            for position in request.canvas().revealed() {
                self.queries.insert(position, request.query_with_masked(position, [position]));
            }
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        if revision.selected().len() < 2 {
            return Ok(());
        }
        let mut improbable = Vec::new();
        for (&position, &query) in &self.queries {
            let token = revision.canvas().tokens()[position];
            let probability = revision.raw_probability(revision.query_row(query), token)?;
            if probability < self.keep {
                improbable.push((probability, position));
            }
        }
        // The sort is stable: the leftmost of equals comes first.
        improbable.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, position) in improbable.into_iter().take(self.allowed) {
            revision.remask(position);
        }
        Ok(())
    }

    fn revealed(&mut self, _position: usize, _confidence: f64) {
        self.revealed += 1;
    }
}

/// WINO with drafted tokens.
pub fn wino(reveal: f64, keep: f64) -> Strategy {
    let wide = Ranked::new(order::Confidence, WideIn { reveal });
    Strategy::new(Drafts::raw()).policy(wide).reviser(NarrowOut::new(keep))
}
