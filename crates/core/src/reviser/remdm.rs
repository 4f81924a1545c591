use super::remdm_rule::Rule;
use super::{Reviser, Revision};
use crate::Error;

/// ReMDM's remasking only: remasks every revealed position of the block with probability σ.
///
/// σ is that of [`unmasker::ReMdm`](crate::unmasker::ReMdm). This reviser is its remasking half, for other
/// policies and unmaskers. It requires a policy with a total number of steps that reveals more if more is
/// masked, such as the linear and cosine schedules. The last step masks nothing.
///
/// **Law.** No closed one: the shares of known tokens are those of the policy, not exactly those of the
/// process. With η = 0 no position is remasked. Source: arXiv 2503.00307.
#[derive(Debug, Clone)]
pub struct ReMdm {
    rule: Rule,
    /// ψ by position.
    confidences: Vec<f64>,
}

impl ReMdm {
    fn with(rule: Rule) -> Self {
        Self { rule, confidences: Vec::new() }
    }

    /// σ = min(η, σ_max).
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ η ≤ 1.
    pub fn cap(eta: f64) -> Result<Self, Error> {
        Ok(Self::with(Rule::cap(eta)?))
    }

    /// σ = η σ_max.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 ≤ η ≤ 1.
    pub fn rescale(eta: f64) -> Result<Self, Error> {
        Ok(Self::with(Rule::rescale(eta)?))
    }

    /// σ = σ_max softmax(−ψ) over the revealed positions of the block.
    pub fn conf() -> Self {
        Self::with(Rule::Conf)
    }
}

impl Default for ReMdm {
    /// [`cap`](Self::cap) with η = 0.008.
    fn default() -> Self {
        Self::with(Rule::Cap(0.008))
    }
}

impl Reviser for ReMdm {
    fn revise(&mut self, revision: &mut Revision<'_, '_>) -> Result<(), Error> {
        self.confidences.resize(revision.canvas().len(), 1.0);
        let progress = *revision.progress();
        let (sigma, _) = self.rule.odds(progress.step, progress.steps);
        if sigma == 0.0 || progress.is_last() {
            return Ok(());
        }
        let revealed: Vec<usize> = revision.canvas().revealed().collect();
        for position in self.rule.draw(&revealed, sigma, &self.confidences, revision.stream()) {
            revision.remask(position);
        }
        Ok(())
    }

    fn revealed(&mut self, position: usize, confidence: f64) {
        if let Some(known) = self.confidences.get_mut(position) {
            *known = confidence;
        }
    }

    fn needs_steps(&self) -> bool {
        true
    }
}
