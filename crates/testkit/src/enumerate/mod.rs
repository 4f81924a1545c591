//! The exact law of a sampler, computed over every branch of its random choices.

use conjoint_core::{Canvas, Error as CoreError, Generator, TokenId};

use crate::{Error, Law};

mod replay;

pub use replay::ReplayStream;

/// Computes the law of the output of `generator` on `canvas`, over at most a million branches.
///
/// # Errors
/// Those of [`Enumerator::law`].
pub fn exact_law(generator: &Generator, canvas: &Canvas) -> Result<Law, Error> {
    Enumerator::default().law(generator, canvas)
}

/// Computes the law of a sampler by running every branch of its random choices, depth first.
///
/// All randomness comes from a [`Stream`](conjoint_core::Stream), as choices among finitely many
/// outcomes with known probabilities. The enumerator runs the sampler once for each combination of
/// choices. The probability of a run is the product of the probabilities of its choices, in float64.
/// Choices of probability 0 are skipped.
#[derive(Debug, Clone, Copy)]
pub struct Enumerator {
    max_branches: usize,
}

impl Default for Enumerator {
    /// At most a million branches.
    fn default() -> Self {
        Self { max_branches: 1_000_000 }
    }
}

impl Enumerator {
    /// Sets the largest number of branches. A random order of n positions alone has n! branches.
    pub fn max_branches(self, max_branches: usize) -> Self {
        Self { max_branches }
    }

    /// Computes the law of the output of `generator` on `canvas`.
    ///
    /// # Errors
    /// Those of [`law_of`](Self::law_of).
    pub fn law(&self, generator: &Generator, canvas: &Canvas) -> Result<Law, Error> {
        self.law_of(|stream| {
            let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
            let outputs = replaying.run(vec![canvas.clone()], &mut ())?;
            Ok(outputs.into_iter().flat_map(|output| output.tokens).collect())
        })
    }

    /// Computes the law of any sampler that takes all its randomness from the given stream.
    ///
    /// ```
    /// use conjoint_core::Stream;
    /// use conjoint_testkit::Enumerator;
    /// // The sum of two dice of three faces.
    /// let law = Enumerator::default()
    ///     .law_of(|mut stream| Ok(vec![(stream.below(3) + stream.below(3)) as u32]))?;
    /// assert!((law.probability(&[2]) - 1.0 / 3.0).abs() < 1e-12);
    /// # Ok::<(), conjoint_testkit::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooManyBranches`]; [`Error::NotReplayable`] if the sampler has other randomness;
    /// [`Error::NothingToChoose`] if a choice has no possible outcome; [`Error::Sampler`] if the
    /// sampler fails on any branch.
    pub fn law_of(
        &self,
        mut sample: impl FnMut(ReplayStream) -> Result<Vec<TokenId>, CoreError>,
    ) -> Result<Law, Error> {
        let stream = ReplayStream::default();
        let mut law = Law::default();
        for branch in 0..self.max_branches {
            let result = sample(stream.clone());
            let mut path = stream.path();
            path.check(branch)?;
            law.add(result?, path.probability());
            if !path.advance() {
                return Ok(law);
            }
        }
        Err(Error::TooManyBranches { limit: self.max_branches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_core::Stream;

    #[test]
    fn every_branch_runs_once_and_has_its_probability() {
        let mut runs = 0;
        let law = Enumerator::default()
            .law_of(|mut stream| {
                runs += 1;
                let first = stream.categorical(&[0.75f32.ln(), f32::NEG_INFINITY, 0.25f32.ln()]);
                // Only one of the branches chooses again.
                let second = if first == 0 { stream.below(2) } else { 9 };
                Ok(vec![first as TokenId, second as TokenId])
            })
            .unwrap();
        assert_eq!(runs, 3);
        for (tokens, p) in [([0, 0], 0.375), ([0, 1], 0.375), ([2, 9], 0.25)] {
            assert!((law.probability(&tokens) - p).abs() < 1e-7, "{tokens:?}");
        }
        assert!((law.total() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_sampler_without_randomness_has_one_branch() {
        let law = Enumerator::default().max_branches(1).law_of(|_| Ok(vec![3])).unwrap();
        assert_eq!(law.iter().collect::<Vec<_>>(), [(&[3][..], 1.0)]);
    }

    #[test]
    fn too_many_branches_are_an_error() {
        let sample = |mut stream: ReplayStream| Ok(vec![stream.below(10) as TokenId]);
        let limited = |limit| Enumerator::default().max_branches(limit).law_of(sample);
        assert!(limited(10).is_ok());
        assert!(matches!(limited(9), Err(Error::TooManyBranches { limit: 9 })));
    }

    #[test]
    fn other_randomness_is_detected() {
        let mut calls = 0;
        let random = Enumerator::default().law_of(|mut stream| {
            calls += 1;
            Ok(vec![stream.below(1 + calls) as TokenId])
        });
        assert!(matches!(random, Err(Error::NotReplayable { branch: 1 })));
        let mut calls = 0;
        let with_memory = Enumerator::default().law_of(|mut stream| {
            calls += 1;
            Ok(if calls == 1 { vec![stream.below(2) as TokenId] } else { vec![0] })
        });
        assert!(matches!(with_memory, Err(Error::NotReplayable { branch: 1 })));
    }

    #[test]
    fn a_choice_without_an_outcome_is_an_error() {
        for logits in [&[][..], &[f32::NEG_INFINITY], &[f32::NAN, 0.0], &[f32::INFINITY, 0.0]] {
            let law = Enumerator::default()
                .law_of(|mut stream| Ok(vec![stream.categorical(logits) as TokenId]));
            assert!(matches!(law, Err(Error::NothingToChoose { branch: 0 })), "{logits:?}");
        }
        let law = Enumerator::default().law_of(|mut stream| Ok(vec![stream.below(0) as TokenId]));
        assert!(matches!(law, Err(Error::NothingToChoose { .. })));
    }

    #[test]
    fn a_failing_branch_is_the_samplers_error() {
        let law = Enumerator::default().law_of(|mut stream| match stream.below(2) {
            0 => Ok(vec![0]),
            _ => Err(CoreError::EmptyPrompt),
        });
        assert!(matches!(law, Err(Error::Sampler(CoreError::EmptyPrompt))));
    }
}
