use super::{Progress, Schedule};
use crate::{Error, range};

/// Reveals K tokens at every step, until nothing is masked.
#[doc(alias = "tokens per step")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokensPerStep(usize);

impl TokensPerStep {
    /// One token a step.
    pub const ONE: Self = Self(1);

    /// Creates the schedule with K.
    ///
    /// # Errors
    /// [`Error::Parameter`] if K is 0.
    pub fn new(k: usize) -> Result<Self, Error> {
        Ok(Self(range::at_least("tokens per step", k, 1)?))
    }
}

impl Schedule for TokensPerStep {
    fn plan(&self, progress: &Progress) -> usize {
        self.0.min(progress.masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::plans;

    #[test]
    fn k_at_a_time_and_the_rest_last() {
        assert_eq!(plans(&TokensPerStep::new(4).unwrap(), 10), [4, 4, 2]);
        assert!(TokensPerStep::new(0).is_err());
    }
}
