use super::{Before, Next, Turn, Unmasker, View};
use crate::Error;
use crate::schedule::last_timestep;

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
/// Needs a schedule with a total number of steps S, and takes no more than that from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    epsilon: f64,
    /// The step of the block in which each position is revealed \[T\].
    falls: Vec<usize>,
}

impl Origin {
    /// With ε, the last timestep.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < ε < 1.
    pub fn new(epsilon: f64) -> Result<Self, Error> {
        Ok(Self { epsilon: last_timestep(epsilon)?, falls: Vec::new() })
    }

    /// Draws when each masked position of a block is revealed.
    fn draw_falls(&mut self, before: &mut Before<'_>, steps: usize) {
        self.falls.resize(before.canvas().len(), 0);
        for position in before.canvas().masked() {
            let is_left_over = before.stream().chance(self.epsilon);
            let step = if is_left_over { steps - 1 } else { before.stream().below(steps) };
            self.falls[position] = step;
        }
    }
}

impl Default for Origin {
    /// ε = 1e-3.
    fn default() -> Self {
        Self { epsilon: 1e-3, falls: Vec::new() }
    }
}

impl Unmasker for Origin {
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        let progress = *before.progress();
        let steps = progress.total("the `origin` strategy")?;
        if progress.step == 0 {
            self.draw_falls(before, steps);
        }
        let next = before.canvas().masked().map(|position| self.falls[position]).min();
        Ok(match next.unwrap_or(0).saturating_sub(progress.step) {
            0 => Turn::Forward,
            idle => Turn::Idle(idle),
        })
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let step = view.progress().step;
        for candidate in 0..view.candidates().len() {
            if self.falls[view.row(candidate).position] <= step {
                let drawn = view.draw(candidate)?;
                view.reveal(candidate, drawn);
            }
        }
        Ok(Next::EndStep)
    }
}
