use super::{Policy, Row, Selection};
use crate::schedule::{at_least_one_step, last_timestep};
use crate::{Error, Observation, StepRequest};

/// Ancestral sampling: reveals each position in a step drawn independently.
///
/// With t₀ … t_S = linspace(1, ε, S + 1), every masked position is revealed in step i with probability
/// 1 − tᵢ₊₁ / tᵢ, and in the last step with probability 1. So the step of each position is independent of the
/// others: step i < S − 1 with probability (1 − ε)/S, and the last step otherwise. The steps are drawn when
/// the block begins. Steps without a position skip the forward, so a large S costs nothing.
///
/// **Law.** A mixture over the assignments of positions to steps: within a step the product of the marginals,
/// between steps exact. One position is exact. For two positions it is (1 − q) · joint + q · product of
/// marginals, where q = Σᵢ P(step i)² is the probability that they share a step. Source: Dream's `origin`,
/// ε = 1e-3; ancestral sampling of masked diffusion (Sahoo et al., arXiv 2406.07524).
///
/// S is spread over the blocks in proportion to their lengths.
#[doc(alias = "ancestral sampling")]
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    steps: usize,
    epsilon: f64,
    /// The step of the block in which each position is revealed \[T\].
    reveal_steps: Vec<usize>,
}

impl Origin {
    /// Creates the policy with S = `steps` steps and ε = 1e-3.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self { steps: at_least_one_step(steps)?, epsilon: 1e-3, reveal_steps: Vec::new() })
    }

    /// Sets ε, the last timestep.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < ε < 1.
    pub fn with_epsilon(self, epsilon: f64) -> Result<Self, Error> {
        Ok(Self { epsilon: last_timestep(epsilon)?, ..self })
    }

    /// Draws the step in which each masked position of a block is revealed.
    fn draw_steps(&mut self, request: &mut StepRequest<'_>, steps: usize) {
        self.reveal_steps.resize(request.canvas().len(), 0);
        for position in request.canvas().masked() {
            let is_left_over = request.stream().chance(self.epsilon);
            let step = if is_left_over { steps - 1 } else { request.stream().below(steps) };
            self.reveal_steps[position] = step;
        }
    }
}

impl Policy for Origin {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let progress = *request.progress();
        if progress.step == 0 {
            self.draw_steps(request, progress.total("the `origin` policy")?);
        }
        let next = request.canvas().masked().map(|position| self.reveal_steps[position]).min();
        request.skip_forward(next.unwrap_or(0).saturating_sub(progress.step));
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let step = rows.progress().step;
        let is_due = |&row: &Row| self.reveal_steps[rows.row(row).position] <= step;
        selection.all_of(rows.rows().filter(is_due));
        Ok(())
    }

    fn steps(&self) -> Option<usize> {
        Some(self.steps)
    }
}
