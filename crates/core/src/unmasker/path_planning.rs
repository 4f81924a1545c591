use super::keep_best::{Rival, keep_best};
use super::{Control, Drawn, Next, Unmasker, View};
use crate::observation::Row;
use crate::schedule::Progress;
use crate::{Error, Query, StepRequest};

/// Path planning (P2) with the denoiser as its own planner.
///
/// Draws a token at every masked position. After step i of S, with κ = (i + 1)/S, the ⌊(1 − κ) n⌋
/// positions of lowest score of the block's n are masked and all others known. The score is ln p of
/// the token drawn, or of the token that stands at a revealed position, times η there: η = 0 never
/// revokes, 1 treats old and new alike, more revokes more. Among equals revealed tokens stay.
///
/// Needs a finite schedule, of which only the number of steps is used. A step that changes nothing
/// reveals nothing; with η = 0 it costs no forward.
///
/// **Law.** Biased when tokens are sampled, as [`Confidence`](super::Confidence): *where* depends on
/// *what* was drawn. With η = 0 it is `Confidence` by [`Score::Filtered`](super::Score::Filtered) with these quotas, and with S
/// = 1 the product of the marginals.
///
/// Source: arXiv 2502.03540 and its code, whose defaults are linear κ, η = 1 and no planner of its own.
/// Probabilities are those of the filtered rows. The code scores a revealed position by a token newly
/// drawn there, the paper and this by the token that stands there.
#[derive(Debug, Clone)]
pub struct PathPlanning {
    eta: f64,
    /// The revealed positions and their rows.
    asked: Vec<(usize, Query)>,
    drawn: Vec<Drawn>,
}

impl PathPlanning {
    /// Revokes with strength η.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless η is finite and at least 0.
    pub fn new(eta: f64) -> Result<Self, Error> {
        if eta.is_finite() && eta >= 0.0 {
            Ok(Self { eta, ..Self::default() })
        } else {
            Err(Error::parameter("path planning's eta", eta, "a finite number, at least 0"))
        }
    }

    /// How many positions are masked after the step: never more than before.
    fn masked_after(progress: &Progress) -> usize {
        let left = progress.steps.saturating_sub(progress.step + 1);
        let share = progress.block_masked.saturating_mul(left) / progress.steps.max(1);
        share.min(progress.masked)
    }
}

impl Default for PathPlanning {
    /// η = 1.
    fn default() -> Self {
        Self { eta: 1.0, asked: Vec::new(), drawn: Vec::new() }
    }
}

impl Unmasker for PathPlanning {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.asked.clear();
        if self.eta == 0.0 {
            request.skip_while(|progress| Self::masked_after(progress) == progress.masked);
        }
        let revealed = request.canvas().revealed();
        self.asked.extend(revealed.map(|position| (position, request.query(position))));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let mut drawn = std::mem::take(&mut self.drawn);
        drawn.clear();
        view.draw_all(view.rows(), &mut drawn)?;
        let tokens = view.canvas().tokens();
        let mut rivals = Vec::with_capacity(drawn.len() + self.asked.len());
        for &(position, query) in &self.asked {
            let row = view.query_row(query);
            let ln_p = view.probability(row, tokens[position])?.ln();
            // 0 · ln 0 is no score.
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
    fn a_strength_below_zero_is_refused() {
        assert!(PathPlanning::new(0.0).is_ok() && PathPlanning::new(5.0).is_ok());
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let error = PathPlanning::new(bad).unwrap_err().to_string();
            assert!(error.contains("eta") && error.contains("at least 0"), "{error}");
        }
    }
}
