use super::{Progress, Schedule, at_least_one_step};
use crate::Error;

/// Dream's linear schedule with the floor rule.
///
/// With t₀ … t_S = linspace(1, ε, S + 1), step i reveals ⌊m (1 − tᵢ₊₁ / tᵢ)⌋ of the m positions
/// still masked, and the last step all of them. The floor makes early steps idle when S is near
/// the number of positions; [`Linear`](super::Linear) is the form that is exact in total. Source: Dream's `diffusion_generate`, ε = 1e-3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DreamLinear {
    steps: usize,
    epsilon: f64,
}

impl DreamLinear {
    /// S steps, ε = 1e-3.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self { steps: at_least_one_step(steps)?, epsilon: 1e-3 })
    }

    /// Sets ε, the last timestep.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 0 < ε < 1.
    pub fn with_epsilon(self, epsilon: f64) -> Result<Self, Error> {
        Ok(Self { epsilon: last_timestep(epsilon)?, ..self })
    }
}

/// The check of ε.
pub(crate) fn last_timestep(epsilon: f64) -> Result<f64, Error> {
    if epsilon > 0.0 && epsilon < 1.0 {
        return Ok(epsilon);
    }
    Err(Error::parameter("epsilon", epsilon, "a number between 0 and 1"))
}

/// 1 − tᵢ₊₁ / tᵢ at this step: the share of what is left, or each position's probability, to be revealed.
fn share(progress: &Progress, epsilon: f64) -> f64 {
    let slope = (1.0 - epsilon) / progress.steps as f64;
    let t = |step: usize| 1.0 - slope * step as f64;
    1.0 - t(progress.step + 1) / t(progress.step)
}

impl Schedule for DreamLinear {
    fn steps(&self) -> Option<usize> {
        Some(self.steps)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        (progress.masked as f64 * share(progress, self.epsilon)).floor() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::plans;

    #[test]
    fn the_floor_makes_the_first_step_idle() {
        assert_eq!(plans(&DreamLinear::new(8).unwrap(), 8), [0, 1, 1, 1, 1, 1, 1, 2]);
        assert_eq!(plans(&DreamLinear::new(2).unwrap(), 8), [3, 5]);
        assert!(DreamLinear::new(0).is_err());
        assert!(DreamLinear::new(2).unwrap().with_epsilon(1.0).is_err());
    }
}
