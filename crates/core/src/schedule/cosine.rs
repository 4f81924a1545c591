use super::{Progress, Schedule, at_least_one_step};
use crate::Error;

/// MaskGIT's cosine schedule: few tokens at first, many at the end.
///
/// After step i of S, ⌊n cos(π/2 · (i + 1)/S)⌋ of the block's n positions stay masked. Source:
/// Chang et al., arXiv 2202.04200, §3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosine(usize);

impl Cosine {
    /// S steps over all blocks together.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self(at_least_one_step(steps)?))
    }
}

impl Schedule for Cosine {
    fn steps(&self) -> Option<usize> {
        Some(self.0)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        let done = (progress.step + 1) as f64 / progress.steps as f64;
        let share = (std::f64::consts::FRAC_PI_2 * done).cos();
        let stays = (progress.block_masked as f64 * share).floor() as usize;
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
    }
}
