use super::{Progress, Schedule, at_least_one_step};
use crate::Error;

/// LLaDA's even split of each block's n positions over its S_b = S / blocks steps.
///
/// Step i reveals ⌊n / S_b⌋ positions, and one more if i < n mod S_b. Source: LLaDA's
/// `get_num_transfer_tokens`.
#[doc(alias = "get_num_transfer_tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LladaEven(usize);

impl LladaEven {
    /// Creates the schedule with S steps over all blocks together.
    ///
    /// # Errors
    /// [`Error::Parameter`] if S is 0.
    pub fn new(steps: usize) -> Result<Self, Error> {
        Ok(Self(at_least_one_step(steps)?))
    }
}

impl Schedule for LladaEven {
    fn steps(&self) -> Option<usize> {
        Some(self.0)
    }

    fn plan(&self, progress: &Progress) -> usize {
        if progress.is_last() {
            return progress.masked;
        }
        let (n, steps) = (progress.block_masked, progress.steps);
        n / steps + usize::from(progress.step < n % steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::plans;

    #[test]
    fn the_remainder_goes_first() {
        assert_eq!(plans(&LladaEven::new(4).unwrap(), 10), [3, 3, 2, 2]);
        assert_eq!(plans(&LladaEven::new(8).unwrap(), 3), [1, 1, 1]);
    }
}
