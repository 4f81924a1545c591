use super::{Reviser, Revision};
use crate::policy::share;
use crate::{Error, Query, StepRequest};

/// dInfer's remasking: masks again what the model is no longer sure of anything at.
///
/// A revealed position whose row now has no token of probability ρ or more is masked again; the least certain first, and
/// at most m − 1 of them where m positions are masked. The step then selects at least one position more than it masks, so
/// that a block of n positions takes at most n steps.
///
/// **Law.** No closed one. With ρ = 0 nothing is masked again. Source: `get_transfer_index_hierarchy_remask` of dInfer
/// (inclusionAI), ρ = 0.4, beside the policy [`Hierarchical`](crate::policy::Hierarchical). There positions that are
/// masked again compete in the same step, so that a token may be replaced at once; here they wait for the next.
#[derive(Debug, Clone)]
pub struct Hierarchical {
    bound: f64,
    asked: Vec<(usize, Query)>,
}

impl Hierarchical {
    /// Masks again below ρ = `bound`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(bound: f64) -> Result<Self, Error> {
        Ok(Self { bound: share("rho", bound)?, asked: Vec::new() })
    }
}

impl Default for Hierarchical {
    /// ρ = 0.4.
    fn default() -> Self {
        Self { bound: 0.4, asked: Vec::new() }
    }
}

impl Reviser for Hierarchical {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.asked.clear();
        if self.bound > 0.0 {
            let revealed = request.canvas().revealed();
            self.asked.extend(revealed.map(|position| (position, request.query(position))));
        }
        Ok(())
    }

    fn needs_whole_selection(&self) -> bool {
        true
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        let fresh = |&(position, query): &(usize, Query)| {
            (revision.row(revision.query_row(query)).stats.p1, position)
        };
        let mut doubted: Vec<(f64, usize)> = self.asked.iter().map(fresh).collect();
        doubted.retain(|&(p1, _)| p1 < self.bound);
        doubted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        doubted.truncate(revision.candidates().len().saturating_sub(1));
        doubted.iter().for_each(|&(_, position)| revision.remask(position));
        if !doubted.is_empty() {
            revision.select_at_least(doubted.len() + 1);
        }
        Ok(())
    }
}
