use super::{Policy, Row, Selection};
use crate::schedule::{at_least_one_step, last_timestep};
use crate::{Error, Observation, StepRequest};

/// The reverse process itself: each position is revealed in a step by a lot of its own.
///
/// With t₀ … t_S = linspace(1, ε, S + 1), every position still masked is revealed in step i with probability
/// 1 − tᵢ₊₁ / tᵢ, and in the last step all are. So each falls, whatever the others do, into step i < S − 1
/// with probability (1 − ε)/S, and into the last with the rest. That lot is drawn when the block begins, so
/// that steps into which nothing falls cost no forward, and a million of them no time.
///
/// **Law.** A mixture over the ways the positions can fall into steps: within a step the product of the
/// marginals, between steps exact. One position is exact; of two, with q = Σᵢ P(step i)² the
/// probability that they meet, (1 − q) · joint + q · product of marginals. Source: Dream's `origin`,
/// ε = 1e-3; ancestral sampling of masked diffusion (Sahoo et al., arXiv 2406.07524).
///
/// S is spread evenly over the blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    steps: usize,
    epsilon: f64,
    /// The step of the block in which each position is revealed \[T\].
    falls: Vec<usize>,
}

impl Origin {
    /// In S = `steps` steps, with ε = 1e-3.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self { steps: at_least_one_step(steps)?, epsilon: 1e-3, falls: Vec::new() })
    }

    /// With another ε, the last timestep.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < ε < 1.
    pub fn with_epsilon(self, epsilon: f64) -> Result<Self, Error> {
        Ok(Self { epsilon: last_timestep(epsilon)?, ..self })
    }

    /// Draws when each masked position of a block is revealed.
    fn draw_falls(&mut self, request: &mut StepRequest<'_>, steps: usize) {
        self.falls.resize(request.canvas().len(), 0);
        for position in request.canvas().masked() {
            let is_left_over = request.stream().chance(self.epsilon);
            let step = if is_left_over { steps - 1 } else { request.stream().below(steps) };
            self.falls[position] = step;
        }
    }
}

impl Policy for Origin {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let progress = *request.progress();
        if progress.step == 0 {
            self.draw_falls(request, progress.total("the `origin` policy")?);
        }
        let next = request.canvas().masked().map(|position| self.falls[position]).min();
        request.skip_forward(next.unwrap_or(0).saturating_sub(progress.step));
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let step = rows.progress().step;
        let falls = |&row: &Row| self.falls[rows.row(row).position] <= step;
        selection.all_of(rows.rows().filter(falls));
        Ok(())
    }

    fn steps(&self) -> Option<usize> {
        Some(self.steps)
    }
}
