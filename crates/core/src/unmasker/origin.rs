use super::{Before, Next, Turn, Unmasker, View};
use crate::Error;
use crate::schedule::{last_timestep, share};

/// The reverse process itself: each position is revealed in a step by a coin of its own.
///
/// With t₀ … t_S = linspace(1, ε, S + 1), every position still masked is revealed in step i with probability
/// 1 − tᵢ₊₁ / tᵢ, and in the last step all are. So each falls, whatever the others do, into step i < S − 1
/// with probability (1 − ε)/S, and into the last with the rest. The coins are tossed before the
/// forward, and a step in which none falls costs none.
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
    /// The positions to reveal in this step, ascending.
    chosen: Vec<usize>,
}

impl Origin {
    /// With ε, the last timestep.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < ε < 1.
    pub fn new(epsilon: f64) -> Result<Self, Error> {
        Ok(Self { epsilon: last_timestep(epsilon)?, chosen: Vec::new() })
    }
}

impl Default for Origin {
    /// ε = 1e-3.
    fn default() -> Self {
        Self { epsilon: 1e-3, chosen: Vec::new() }
    }
}

impl Unmasker for Origin {
    fn prepare(&mut self, before: &mut Before<'_>) -> Result<Turn, Error> {
        let progress = *before.progress();
        progress.total("the `origin` strategy")?;
        let p = share(&progress, self.epsilon);
        self.chosen.clear();
        for position in before.canvas().masked() {
            if progress.is_last() || before.stream().chance(p) {
                self.chosen.push(position);
            }
        }
        Ok(if self.chosen.is_empty() { Turn::Idle } else { Turn::Forward })
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        for candidate in 0..view.candidates().len() {
            if self.chosen.binary_search(&view.row(candidate).position).is_ok() {
                let drawn = view.draw(candidate)?;
                view.reveal(candidate, drawn);
            }
        }
        Ok(Next::EndStep)
    }
}
