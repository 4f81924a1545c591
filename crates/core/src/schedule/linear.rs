use super::{Progress, Schedule, at_least_one_step};
use crate::Error;

/// Reveals the same number of tokens at every step, up to rounding.
///
/// After step i of S, ⌊n (1 − (i + 1)/S)⌋ of the block's n positions stay masked.
/// [`DreamLinear`](super::DreamLinear) is the floor form, which rounds the share of each step down.
/// [`LladaEven`](super::LladaEven) has steps of the same sizes, the larger ones first. Source: the linear
/// schedule of masked diffusion (Sahoo et al., arXiv 2406.07524), rounded as MaskGIT's.
#[doc(alias = "linear schedule")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear(usize);

impl Linear {
    /// Creates the schedule with S steps over all blocks together.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self(at_least_one_step(steps)?))
    }
}

impl Schedule for Linear {
    fn steps(&self) -> Option<usize> {
        Some(self.0)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        let left = progress.steps - progress.step - 1;
        // Integer arithmetic: a rounding error would move a token to another step.
        let stays = (progress.block_masked as u128 * left as u128) / progress.steps as u128;
        progress.masked.saturating_sub(stays as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::plans;

    #[test]
    fn the_remainder_is_spread_out() {
        assert_eq!(plans(&Linear::new(4).unwrap(), 8), [2, 2, 2, 2]);
        assert_eq!(plans(&Linear::new(4).unwrap(), 10), [3, 2, 3, 2]);
        assert_eq!(plans(&Linear::new(8).unwrap(), 4), [1, 0, 1, 0, 1, 0, 1]);
        assert!(Linear::new(0).is_err());
    }
}
