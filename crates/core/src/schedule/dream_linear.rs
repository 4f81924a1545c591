use std::ops::Bound;

use super::{Progress, Schedule, at_least_one_step};
use crate::{Error, range};

/// Dream's linear schedule with the floor rule.
///
/// With t₀ … t_S = linspace(1, ε, S + 1), step i reveals ⌊m (1 − tᵢ₊₁ / tᵢ)⌋ of the m positions still masked,
/// and the last step all of them. The arithmetic is float32, as in the source, because rounding decides
/// between 9.99999 and 10.
///
/// If S is near the number of positions, the floor makes early steps idle. [`Linear`](super::Linear) is the
/// form without floors. Source: Dream's `diffusion_generate`, ε = 1e-3.
#[doc(alias = "linspace timesteps")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DreamLinear {
    steps: usize,
    epsilon: f64,
}

impl DreamLinear {
    /// Creates the schedule with S steps over all blocks together and ε = 1e-3.
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

/// Checks ε, the last timestep.
pub(crate) fn last_timestep(epsilon: f64) -> Result<f64, Error> {
    range::within("epsilon", epsilon, (Bound::Excluded(0.0), Bound::Excluded(1.0)))
}

/// tᵢ of linspace(1, ε, S + 1), computed from 1 in the first half and from ε in the second, as PyTorch does.
fn timestep(step: usize, steps: usize, epsilon: f32) -> f32 {
    let slope = (epsilon - 1.0) / steps as f32;
    if step < steps.div_ceil(2) {
        1.0 + slope * step as f32
    } else {
        epsilon - slope * (steps - step) as f32
    }
}

impl Schedule for DreamLinear {
    fn steps(&self) -> Option<usize> {
        Some(self.steps)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        let t = |step: usize| timestep(step, progress.steps, self.epsilon as f32);
        let share = 1.0 - t(progress.step + 1) / t(progress.step);
        (progress.masked as f32 * share) as usize
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

    /// By hand, for 1000 positions in 91 steps. The first two steps reveal ⌊1000 · 0.0109780⌋ and
    /// ⌊990 · 0.0110999⌋ tokens, 10 each. In the third m = 980 and
    /// 1 − t₃/t₂ = 0.999/(91 − 2 · 0.999) = 0.01122447, and 980 times that is 10.99998, so 10 tokens. In
    /// float32 the quotient t₃/t₂ is rounded to a multiple of 2⁻²⁴ = 6 · 10⁻⁸, 0.98877549. One minus that is
    /// 0.01122451, and 980 times that is 11.00002, so 11 tokens.
    #[test]
    fn floors_are_those_of_float32() {
        let at = |step, masked| {
            let progress = Progress { step, steps: 91, masked, block_masked: 1000 };
            DreamLinear::new(91).unwrap().plan(&progress)
        };
        assert_eq!([at(0, 1000), at(1, 990), at(2, 980)], [10, 10, 11]);
        let share = |step: f64| 0.999 / (91.0 - 0.999 * step);
        let exact = |step: f64, masked: f64| (masked * share(step)).floor();
        assert_eq!([exact(0.0, 1000.0), exact(1.0, 990.0), exact(2.0, 980.0)], [10.0, 10.0, 10.0]);
    }

    #[test]
    fn timesteps_go_from_one_to_epsilon() {
        assert_eq!((timestep(0, 8, 1e-3), timestep(8, 8, 1e-3)), (1.0, 1e-3));
        assert!((timestep(4, 8, 1e-3) - 0.5005).abs() < 1e-7);
        for steps in 1..200 {
            let times: Vec<f32> = (0..=steps).map(|step| timestep(step, steps, 1e-3)).collect();
            assert!(times.windows(2).all(|t| t[0] > t[1]), "{steps}: {times:?}");
        }
    }
}
