use super::{Progress, Schedule, at_least_one_step};
use crate::Error;

/// Reveals few tokens at first and many at the end, by a cosine.
///
/// There are two forms, with tᵢ = cos(π/2 · i/S):
/// - [`new`](Self::new), exact in total: after step i of S, ⌊n tᵢ₊₁⌋ of the block's n positions stay
///   masked. Source: MaskGIT (Chang et al., arXiv 2202.04200), §3.3.
/// - [`floor`](Self::floor): step i reveals ⌊m (1 − tᵢ₊₁ / tᵢ)⌋ of the m positions still masked, and the
///   last step all of them, which is [`DreamLinear`](super::DreamLinear)'s rule with these timesteps.
///   Its early steps may reveal nothing, and the last step reveals the rest.
#[doc(alias = "cosine schedule")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosine {
    steps: usize,
    floor: bool,
}

impl Cosine {
    /// Creates the exact form with S steps over all blocks together.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self { steps: at_least_one_step(steps)?, floor: false })
    }

    /// Creates the floor form with S steps over all blocks together: the share of each step is rounded down.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn floor(steps: usize) -> Result<Self, Error> {
        Ok(Self { floor: true, ..Self::new(steps)? })
    }
}

impl Schedule for Cosine {
    fn steps(&self) -> Option<usize> {
        Some(self.steps)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        let t = |step: usize| {
            (std::f64::consts::FRAC_PI_2 * (step as f64 / progress.steps as f64)).cos()
        };
        let next = t(progress.step + 1);
        if self.floor {
            return (progress.masked as f64 * (1.0 - next / t(progress.step))).floor() as usize;
        }
        let stays = (progress.block_masked as f64 * next).floor() as usize;
        progress.masked.saturating_sub(stays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::plans;

    #[test]
    fn slow_first_fast_last() {
        assert_eq!(plans(&Cosine::new(4).unwrap(), 16), [2, 3, 5, 6]);
        assert_eq!(plans(&Cosine::floor(4).unwrap(), 16), [1, 3, 5, 7]);
        assert_eq!(plans(&Cosine::floor(8).unwrap(), 8), [0, 0, 0, 1, 1, 1, 2, 3]);
        assert!(Cosine::new(0).is_err() && Cosine::floor(0).is_err());
    }
}
