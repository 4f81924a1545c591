use super::{Reviser, Revision};
use crate::{Error, Query, StepRequest, range};

/// WINO's "narrow out": remasks revealed tokens that are improbable given all other tokens.
///
/// The probability of a revealed token is taken with its own position masked, before any filter. Tokens with
/// a probability below τ₂ are remasked, the least probable first. At most b − 1 of them are, where b is
/// the number of tokens that the *previous* step revealed, and none if this step selects a single position.
/// So each step except the first masks fewer tokens than the one before revealed, and a block of n positions
/// takes at most n steps.
///
/// **Law.** No closed one, because improbable tokens are drawn again. With τ₂ = 0, or one position a step, no
/// token is remasked. The published strategy is [`strategy::wino`](crate::strategy::wino): drafts,
/// [`WideThreshold`](crate::schedule::WideThreshold), and this.
///
/// Source: arXiv 2507.18578, defaults τ₁ = 0.6, τ₂ = 0.9. The reference appends a block of shadow masks to
/// the one forward. That is cheaper, but the other positions attend to the token and pass it on through the
/// layers. Here each token is hidden from all positions, at the cost of one more canvas in the batch for each
/// token.
#[doc(alias = "narrow-out")]
#[doc(alias = "wide-in narrow-out")]
#[derive(Debug, Clone)]
pub struct Wino {
    keep: f64,
    /// The number of tokens that the previous step revealed, and this one.
    last: usize,
    now: usize,
    queries: Vec<(usize, Query)>,
}

impl Wino {
    /// Creates the reviser with τ₂ = `keep`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is from 0 to 1.
    pub fn new(keep: f64) -> Result<Self, Error> {
        Ok(Self { keep: range::probability("WINO keep threshold", keep)?, ..Self::default() })
    }
}

impl Default for Wino {
    /// τ₂ = 0.9.
    fn default() -> Self {
        Self { keep: 0.9, last: 0, now: 0, queries: Vec::new() }
    }
}

impl Reviser for Wino {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        (self.last, self.now) = (self.now, 0);
        if self.keep > 0.0 && self.last > 1 {
            let revealed = request.canvas().revealed();
            let query = |position| (position, request.query_with_masked(position, [position]));
            self.queries.extend(revealed.map(query));
        }
        Ok(())
    }

    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        if revision.selected().len() < 2 {
            return Ok(());
        }
        let tokens = revision.canvas().tokens();
        let probability = |&(position, query): &(usize, Query)| {
            let row = revision.query_row(query);
            Ok((revision.raw_probability(row, tokens[position])?, position))
        };
        let doubted = self.queries.iter().map(probability);
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
