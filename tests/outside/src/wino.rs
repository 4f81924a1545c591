use std::collections::BTreeMap;

use conjoint::order;
use conjoint::policy::Ranked;
use conjoint::prelude::*;
use conjoint::schedule::{self, Progress};
use conjoint::strategy::Strategy;

use crate::Drafts;

/// WINO's wide in (arXiv 2507.18578): reveals every token above τ₁, the best one in any case.
///
/// At most 70 % of the masked positions, though no cap is below 5 or above 20.
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
        let bold = ranked.iter().take_while(|candidate| candidate.confidence > self.reveal);
        bold.take(cap).count().max(1)
    }
}

/// WINO's narrow out (arXiv 2507.18578): masks a token again whose probability is below τ₂ once it is hidden.
///
/// Fewer in a step than the step before revealed, the least probable first; none in a step that reveals one position.
#[derive(Clone, Default)]
pub struct NarrowOut {
    keep: f64,
    /// How many tokens were revealed since the last plan.
    revealed: usize,
    /// How many may be masked again in this step.
    allowed: usize,
    doubts: BTreeMap<usize, Query>,
}

impl NarrowOut {
    /// With τ₂ = `keep`.
    pub fn new(keep: f64) -> Self {
        Self { keep, ..Self::default() }
    }
}

impl Reviser for NarrowOut {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.doubts.clear();
        self.allowed = std::mem::take(&mut self.revealed).saturating_sub(1);
        if self.allowed > 0 && self.keep > 0.0 {
            for position in request.canvas().revealed() {
                self.doubts.insert(position, request.query_with_masked(position, [position]));
            }
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        if revision.selected().len() < 2 {
            return Ok(());
        }
        let mut doubtful = Vec::new();
        for (&position, &question) in &self.doubts {
            let token = revision.canvas().tokens()[position];
            let probability = revision.raw_probability(revision.query_row(question), token)?;
            if probability < self.keep {
                doubtful.push((probability, position));
            }
        }
        // A stable sort: the leftmost of equals comes first.
        doubtful.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, position) in doubtful.into_iter().take(self.allowed) {
            revision.remask(position);
        }
        Ok(())
    }

    fn revealed(&mut self, _position: usize, _confidence: f64) {
        self.revealed += 1;
    }
}

/// WINO over drafted tokens.
pub fn wino(reveal: f64, keep: f64) -> Strategy {
    let wide = Ranked::new(order::Confidence, WideIn { reveal });
    Strategy::new(Drafts::raw()).policy(wide).reviser(NarrowOut::new(keep))
}
