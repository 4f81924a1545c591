use super::keep_best::{Rival, keep_best};
use super::{Control, Drawn, Next, Unmasker, View};
use crate::observation::Row;
use crate::schedule::Progress;
use crate::{Error, Query, StepRequest, range};

/// Path planning (P2), with the denoiser as its own planner.
///
/// Draws a token at every masked position. After step i of S, with κ = (i + 1)/S, the ⌊(1 − κ) n⌋ positions
/// of lowest score among the block's n are masked, and all others are known. The score is ln p of the drawn
/// token, or η ln p of the current token at a revealed position. η = 0 never remasks tokens, 1 treats old and
/// new tokens alike, and larger values remask more. Ties go to revealed tokens.
///
/// Requires a schedule with a total number of steps and uses only that number. Some steps may reveal nothing.
/// With η = 0 they skip the forward.
///
/// **Law.** Biased if tokens are sampled, as [`Confidence`](super::Confidence) is: *where* depends on *what*
/// was drawn. With η = 0 it is `Confidence` by [`Score::Filtered`](super::Score::Filtered) with these quotas.
/// With S = 1 it is the product of the marginals.
///
/// Source: arXiv 2502.03540 and its code, with the defaults linear κ, η = 1 and no separate planner.
/// Probabilities are those of the filtered rows. The code scores a revealed position by a newly drawn token,
/// the paper and this implementation by the current one.
#[doc(alias = "path planning")]
#[doc(alias = "P2")]
#[derive(Debug, Clone)]
pub struct PathPlanning {
    eta: f64,
    /// The revealed positions and their rows.
    queries: Vec<(usize, Query)>,
    drawn: Vec<Drawn>,
}

impl PathPlanning {
    /// Creates the unmasker with η.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless η is finite and at least 0.
    pub fn new(eta: f64) -> Result<Self, Error> {
        Ok(Self { eta: range::non_negative("path planning's eta", eta)?, ..Self::default() })
    }

    /// The number of positions masked after the step, at most as many as before.
    fn masked_after(progress: &Progress) -> usize {
        let left = progress.steps.saturating_sub(progress.step + 1);
        let share = progress.block_masked.saturating_mul(left) / progress.steps.max(1);
        share.min(progress.masked)
    }
}

impl Default for PathPlanning {
    /// η = 1.
    fn default() -> Self {
        Self { eta: 1.0, queries: Vec::new(), drawn: Vec::new() }
    }
}

impl Unmasker for PathPlanning {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.queries.clear();
        if self.eta == 0.0 {
            request.skip_while(|progress| Self::masked_after(progress) == progress.masked);
        }
        let revealed = request.canvas().revealed();
        self.queries.extend(revealed.map(|position| (position, request.query(position))));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let mut drawn = std::mem::take(&mut self.drawn);
        drawn.clear();
        view.draw_all(view.rows(), &mut drawn)?;
        let tokens = view.canvas().tokens();
        let mut rivals = Vec::with_capacity(drawn.len() + self.queries.len());
        for &(position, query) in &self.queries {
            let row = view.query_row(query);
            let ln_p = view.probability(row, tokens[position])?.ln();
            // 0 · ln 0 would be NaN.
            let score = if self.eta == 0.0 { 0.0 } else { self.eta * ln_p.min(0.0) };
            rivals.push(Rival { score, position, candidate: None });
        }
        rivals.extend(view.candidates().iter().enumerate().map(|(candidate, new)| Rival {
            score: drawn[candidate].probability.ln().min(0.0),
            position: new.position,
            candidate: Some(Row::candidate(candidate)),
        }));
        let masked = Self::masked_after(view.progress());
        keep_best(view, rivals, masked, &drawn);
        self.drawn = drawn;
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masked_share_falls_to_zero() {
        let at = |step| Progress { step, steps: 4, masked: 10, block_masked: 10 };
        let masked: Vec<usize> = (0..4).map(|step| PathPlanning::masked_after(&at(step))).collect();
        assert_eq!(masked, [7, 5, 2, 0]);
        let filled_meanwhile = Progress { masked: 3, ..at(0) };
        assert_eq!(PathPlanning::masked_after(&filled_meanwhile), 3);
    }

    #[test]
    fn a_negative_eta_is_rejected() {
        assert!(PathPlanning::new(0.0).is_ok() && PathPlanning::new(5.0).is_ok());
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let error = PathPlanning::new(bad).unwrap_err().to_string();
            assert!(error.contains("eta") && error.contains("at least 0"), "{error}");
        }
    }
}
