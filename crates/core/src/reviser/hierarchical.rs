use super::{Reviser, Revision};
use crate::{Error, Query, StepRequest, range};

/// dInfer's remasking: remasks revealed positions whose row has become uncertain.
///
/// A revealed position is remasked if no token of its row has a probability of ρ or more. The least
/// certain ones come first, at most m − 1 of them if m positions are masked. The step then selects at least
/// one position more than it masks, so a block of n positions takes at most n steps.
///
/// **Law.** No closed one. With ρ = 0 no position is remasked. Source:
/// `get_transfer_index_hierarchy_remask` of dInfer (inclusionAI), ρ = 0.4, beside the policy
/// [`Hierarchical`](crate::policy::Hierarchical). There, remasked positions can be revealed in the same step;
/// here only in the next one.
#[doc(alias = "dInfer")]
#[derive(Debug, Clone)]
pub struct Hierarchical {
    bound: f64,
    queries: Vec<(usize, Query)>,
}

impl Hierarchical {
    /// Creates the reviser with ρ = `bound`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(bound: f64) -> Result<Self, Error> {
        Ok(Self { bound: range::probability("rho", bound)?, queries: Vec::new() })
    }
}

impl Default for Hierarchical {
    /// ρ = 0.4.
    fn default() -> Self {
        Self { bound: 0.4, queries: Vec::new() }
    }
}

impl Reviser for Hierarchical {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        if self.bound > 0.0 {
            let revealed = request.canvas().revealed();
            self.queries.extend(revealed.map(|position| (position, request.query(position))));
        }
        Ok(())
    }

    fn needs_whole_selection(&self) -> bool {
        true
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        let confidence = |&(position, query): &(usize, Query)| {
            (revision.row(revision.query_row(query)).stats.p1, position)
        };
        let mut doubted: Vec<(f64, usize)> = self.queries.iter().map(confidence).collect();
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
