use super::{Reviser, Revision};
use crate::policy::share;
use crate::{Error, Query, StepRequest};

/// WINO's "narrow out": doubts each revealed token by a row that sees everything but that token.
///
/// Masks again the revealed tokens whose probability, with their own position masked, is < τ₂: the
/// least probable first and at most b − 1 of them, b being how many the *previous* step revealed, and
/// none if this step selects a single position.
///
/// So each step, the first apart, masks fewer than the one before it revealed, and a block of n
/// positions takes at most n steps. Probabilities are those of the rows as the model gave them.
///
/// **Law.** No closed one: improbable tokens are drawn anew. With τ₂ = 0 nothing is revoked, nor with a policy of one
/// position a step. The published strategy is [`strategy::wino`](crate::strategy::wino): drafts,
/// [`WideThreshold`](crate::schedule::WideThreshold), and this.
///
/// Source: arXiv 2507.18578, defaults τ₁ = 0.6, τ₂ = 0.9. The reference appends a block of shadow masks
/// to the one forward: cheaper, but the other positions it looks at have seen the doubted token and
/// pass it on through the layers. Here each doubted token is truly hidden, at the cost of one more
/// canvas in the batch for each.
#[derive(Debug, Clone)]
pub struct Wino {
    keep: f64,
    /// How many tokens the previous step revealed, and this one.
    last: usize,
    now: usize,
    asked: Vec<(usize, Query)>,
}

impl Wino {
    /// Masks again below τ₂ = `keep`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(keep: f64) -> Result<Self, Error> {
        Ok(Self { keep: share("WINO keep threshold", keep)?, ..Self::default() })
    }
}

impl Default for Wino {
    /// τ₂ = 0.9.
    fn default() -> Self {
        Self { keep: 0.9, last: 0, now: 0, asked: Vec::new() }
    }
}

impl Reviser for Wino {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.asked.clear();
        (self.last, self.now) = (self.now, 0);
        if self.keep > 0.0 && self.last > 1 {
            let revealed = request.canvas().revealed();
            let ask = |position| (position, request.query_with_masked(position, [position]));
            self.asked.extend(revealed.map(ask));
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        if revision.selected().len() < 2 {
            return Ok(());
        }
        let tokens = revision.canvas().tokens();
        let doubt = |&(position, query): &(usize, Query)| {
            let row = revision.query_row(query);
            Ok((revision.raw_probability(row, tokens[position])?, position))
        };
        let doubted = self.asked.iter().map(doubt);
        let mut doubted: Vec<(f64, usize)> = doubted.collect::<Result<_, Error>>()?;
        doubted.retain(|&(probability, _)| probability < self.keep);
        doubted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let most = self.last.saturating_sub(1);
        doubted.iter().take(most).for_each(|&(_, position)| revision.remask(position));
        Ok(())
    }

    fn revealed(&mut self, _: usize, _: f64) {
        self.now += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_probabilities() {
        assert!(Wino::new(0.0).is_ok() && Wino::new(1.0).is_ok());
        for bad in [-0.1, 1.5, f64::NAN] {
            let error = Wino::new(bad).unwrap_err().to_string();
            assert!(error.contains("WINO") && error.contains("from 0 to 1"), "{error}");
        }
    }
}
