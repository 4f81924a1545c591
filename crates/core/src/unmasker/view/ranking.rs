//! Which candidates come first, and how many of them the schedule wants.

use super::View;
use crate::Order;
use crate::schedule::Ranked;

impl View<'_> {
    /// Says how sure the strategy is of a candidate, where that is not p₁: the probability of a token
    /// that it drew. [Schedules](crate::Schedule::quota) see it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn set_confidence(&mut self, row: usize, confidence: f64) {
        self.work.rows[row].confidence = confidence;
    }

    /// Ranks the candidates; [`ranked`](Self::ranked) and [`quota`](Self::quota) then answer.
    pub fn rank(&mut self, order: &dyn Order) {
        let mut ranked = std::mem::take(&mut self.work.ranked);
        order.rank(self, &mut ranked);
        self.work.ranked = ranked;
    }

    /// Fills `ranked` with the candidates by a score that looks at the view.
    pub(crate) fn rank_into(
        &mut self,
        ranked: &mut Vec<usize>,
        score: impl Fn(&Self, usize) -> f64,
    ) {
        let mut scores = std::mem::take(&mut self.work.scores);
        let n = self.sight.candidates;
        crate::order::by_score_with(n, |candidate| score(self, candidate), &mut scores, ranked);
        self.work.scores = scores;
    }

    /// Ranks the candidates by a score, the highest first and the leftmost among equals.
    pub fn rank_by(&mut self, score: impl Fn(usize) -> f64) {
        let (n, work) = (self.sight.candidates, &mut *self.work);
        crate::order::by_score_with(n, score, &mut work.scores, &mut work.ranked);
    }

    /// Ranks the candidates by their confidence, the highest first and the leftmost among equals.
    pub fn rank_by_confidence(&mut self) {
        let (n, work) = (self.sight.candidates, &mut *self.work);
        let confidence = |i: usize| work.rows[i].confidence;
        crate::order::by_score_with(n, confidence, &mut work.scores, &mut work.ranked);
    }

    /// The candidate on the given rank, 0 being the best.
    ///
    /// # Panics
    /// If the rank is not below the number of candidates, or nothing has been ranked.
    pub fn ranked(&self, rank: usize) -> usize {
        self.work.ranked[rank]
    }

    /// How many of the ranked candidates the schedule wants revealed in this step: at least 1 and
    /// at most all.
    pub fn quota(&self) -> usize {
        if self.sight.candidates == 0 {
            return 0;
        }
        let ranked = Ranked { candidates: self.candidates(), ranked: &self.work.ranked };
        let quota = self.parts.schedule.quota(&self.sight.progress, ranked);
        quota.clamp(1, self.sight.candidates)
    }
}
