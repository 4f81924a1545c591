use super::{Reviser, Revision};
use crate::observation::Row;
use crate::{Error, Query, StepRequest};

/// Saber's backtracking: remasks the tokens whose confidence has risen least.
///
/// The confidence of a position is the largest probability of its row. Δ is its change since the last forward
/// with this row; before its first forward, the confidence is 0. The reviser compares the positions that were
/// revealed before and the k that are selected in the step. It masks the m with the smallest Δ after the step:
///
/// m = min(max(⌊n/2⌋, ⌈k/8⌉), k − 1).
///
/// As m < k, every step leaves fewer positions masked.
///
/// **Law.** No closed one. With one position a step no position is remasked. Source: Saber (arXiv
/// 2510.18165), its LLaDA loop, with n = 2, the least number of the policy [`Saber`](crate::policy::Saber).
/// There tokens of earlier blocks can be masked too; here a full block stays.
#[doc(alias = "backtracking remasking")]
#[derive(Debug, Clone)]
pub struct Saber {
    least: usize,
    /// The largest probability of each position's row in the last forward \[T\].
    last: Vec<f64>,
    queries: Vec<(usize, Query)>,
}

impl Saber {
    /// Creates the reviser for a policy that selects at least n = `least` positions.
    pub fn new(least: usize) -> Self {
        Self { least, last: Vec::new(), queries: Vec::new() }
    }

    /// The number of positions to mask after a step that selects k.
    fn remasked(&self, k: usize) -> usize {
        (self.least / 2).max(k.div_ceil(8)).min(k.saturating_sub(1))
    }

    /// The change of the position's largest probability, which is stored for the next step.
    fn rise(&mut self, position: usize, p1: f64) -> f64 {
        p1 - std::mem::replace(&mut self.last[position], p1)
    }
}

impl Default for Saber {
    /// n = 2.
    fn default() -> Self {
        Self::new(2)
    }
}

impl Reviser for Saber {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let revealed = request.canvas().revealed();
        self.queries.clear();
        self.queries.extend(revealed.map(|position| (position, request.query(position))));
        Ok(())
    }

    fn needs_whole_selection(&self) -> bool {
        true
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        self.last.resize(revision.canvas().len(), 0.0);
        let selected = revision.selected().to_vec();
        let mut rivals: Vec<(f64, usize, Option<Row>)> = Vec::new();
        for (position, query) in std::mem::take(&mut self.queries) {
            let p1 = revision.row(revision.query_row(query)).stats.p1;
            rivals.push((self.rise(position, p1), position, None));
        }
        for candidate in revision.rows() {
            let row = *revision.row(candidate);
            let rise = self.rise(row.position, row.stats.p1);
            if selected.contains(&candidate) {
                rivals.push((rise, row.position, Some(candidate)));
            }
        }
        rivals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        rivals.truncate(self.remasked(selected.len()));
        for &(_, position, _) in rivals.iter().filter(|rival| rival.2.is_none()) {
            revision.remask(position);
        }
        let is_kept = |candidate: &Row| !rivals.iter().any(|rival| rival.2 == Some(*candidate));
        revision.select(selected.into_iter().filter(is_kept));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_the_step_selects() {
        let remasked = |least: usize, k: usize| Saber::new(least).remasked(k);
        assert_eq!([1, 2, 8, 9, 17].map(|k| remasked(2, k)), [0, 1, 1, 2, 3]);
        assert_eq!([0, 1, 2, 3].map(|k| remasked(8, k)), [0, 0, 1, 2]);
    }

    #[test]
    fn a_rise_is_relative_to_the_last_forward() {
        let mut saber = Saber { last: vec![0.0; 2], ..Saber::default() };
        assert_eq!(saber.rise(1, 0.75), 0.75);
        assert_eq!(saber.rise(1, 0.25), -0.5);
        assert_eq!(saber.rise(0, 0.25), 0.25);
    }
}
