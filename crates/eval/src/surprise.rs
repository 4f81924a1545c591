//! Surprise profiles: how improbable each token of a text is, given the others.

use std::sync::Arc;

use conjoint_core::{Canvas, Denoiser, RowId, RowStats};
use ndarray::Array2;

use crate::{Error, Sample};

/// The *surprise profile* of a sample under a frozen model, a feature vector for [`Mauve`](crate::Mauve).
///
/// The drawn positions are divided into F interleaved folds, the n-th of them in fold n mod F. One forward pass per fold
/// masks the fold. Feature i is −ln p(xᵢ | x without the fold of i), in nats and at most [`LIMIT`](Self::LIMIT). Given
/// positions have surprise 0.
///
/// Mean hidden states describe the topic of a text, but hardly whether its tokens are consistent, and a masked diffusion
/// model is trained on the states of masked positions only. A surprise profile grows where tokens are inconsistent. A
/// single flaw stands out, so that MAUVE on profiles is far below MAUVE on mean hidden states. Compare only figures on
/// equal features. The judge is the frozen model itself, which is not independent evidence.
#[doc(alias = "pseudo-perplexity")]
#[derive(Clone)]
pub struct Surprise {
    denoiser: Arc<dyn Denoiser>,
    folds: usize,
}

impl Surprise {
    /// The largest surprise, in nats. Tokens of probability 0 have this surprise.
    pub const LIMIT: f64 = 20.0;
    /// The number of canvases per forward pass.
    const BATCH: usize = 32;

    /// Profiles under this model, with 8 folds.
    pub fn new(denoiser: impl Denoiser + 'static) -> Self {
        Self { denoiser: Arc::new(denoiser), folds: 8 }
    }

    /// Sets F, the number of forward passes per sample. More folds leave more of the text visible.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `folds` is below 2.
    pub fn folds(mut self, folds: usize) -> Result<Self, Error> {
        if folds < 2 {
            return Err(Error::parameter("folds", folds, "at least 2"));
        }
        self.folds = folds;
        Ok(self)
    }

    /// The profiles [N, T] of samples of equal length.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::Shape`] if lengths differ, and [`Error::Outside`] with the model's error.
    pub fn profiles(&self, samples: &[Sample]) -> Result<Array2<f32>, Error> {
        let length = samples.first().ok_or(Error::Empty("the set of samples"))?.tokens().len();
        if let Some(other) = samples.iter().map(|s| s.tokens().len()).find(|&got| got != length) {
            return Err(Error::Shape { what: "a sample's length", got: other, expected: length });
        }
        let mut profiles = Array2::zeros((samples.len(), length));
        let all: Vec<(usize, usize)> =
            (0..samples.len()).flat_map(|n| (0..self.folds).map(move |fold| (n, fold))).collect();
        for batch in all.chunks(Self::BATCH) {
            self.read(samples, batch, &mut profiles)?;
        }
        Ok(profiles)
    }

    /// Runs one forward pass on a batch of (sample, fold) pairs.
    fn read(
        &self,
        samples: &[Sample],
        batch: &[(usize, usize)],
        profiles: &mut Array2<f32>,
    ) -> Result<(), Error> {
        let (mut canvases, mut rows, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for &(n, fold) in batch {
            let (canvas, tokens) = (samples[n].canvas(), samples[n].tokens());
            let masked: Vec<usize> = canvas.masked().skip(fold).step_by(self.folds).collect();
            if masked.is_empty() {
                continue;
            }
            let mut visible = tokens.to_vec();
            for &position in &masked {
                visible[position] = canvas.mask();
                rows.push(RowId { sequence: canvases.len(), position });
                origins.push((n, position));
            }
            canvases.push(Canvas::infill(visible, canvas.mask()).map_err(outside)?);
        }
        if canvases.is_empty() {
            return Ok(());
        }
        let batch: Vec<&Canvas> = canvases.iter().collect();
        let (answer, _) = self.denoiser.denoise(&batch, &rows).map_err(outside)?;
        let vocabulary = self.denoiser.vocabulary().size();
        answer.expect_shape(rows.len(), vocabulary).map_err(outside)?;
        for (row, (n, position)) in origins.into_iter().enumerate() {
            let logits = answer.logits(row);
            let stats = RowStats::of(logits).ok_or(Error::NotANumber("a row of logits"))?;
            let logit = logits.get(samples[n].tokens()[position] as usize);
            let probability = logit.map_or(0.0, |&logit| stats.probability(logit));
            profiles[(n, position)] = (-probability.ln()).clamp(0.0, Self::LIMIT) as f32;
        }
        Ok(())
    }
}

fn outside(source: conjoint_core::Error) -> Error {
    Error::Outside { name: "the surprise of samples".to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bootstrap, Mauve};
    use conjoint_core::schedule::TokensPerStep;
    use conjoint_core::unmasker::Marginal;
    use conjoint_core::{Generator, TokenId};
    use conjoint_testkit::{TabularDenoiser, TabularJoint};

    fn samples(joint: &TabularJoint, generator: Generator, n: usize) -> Vec<Sample> {
        let canvas = Canvas::unconditional(joint.length(), joint.mask()).unwrap();
        let outputs = generator.run(vec![canvas.clone(); n], &mut ()).unwrap();
        let sample = |tokens| Sample::new(canvas.clone(), tokens).unwrap();
        outputs.into_iter().map(|output| sample(output.tokens)).collect()
    }

    fn one_at_a_time(joint: &TabularJoint) -> Generator {
        Generator::new(TabularDenoiser::new(joint.clone()).unwrap())
    }

    /// With as many folds as positions, features are the conditionals of each token given all others.
    #[test]
    fn profiles_are_the_conditionals_of_the_joint() {
        let joint = TabularJoint::random(4, 3, 1.0, 5).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint.clone()).unwrap());
        let texts = samples(&joint, one_at_a_time(&joint).seed(1), 30);
        let whole = surprise.clone().folds(4).unwrap().profiles(&texts).unwrap();
        let halves = surprise.folds(2).unwrap().profiles(&texts).unwrap();
        let conditional = |text: &[TokenId], masked: &[usize], position: usize| {
            let mut visible = text.to_vec();
            masked.iter().for_each(|&i| visible[i] = joint.mask());
            let law = joint.given(&visible).unwrap();
            let p: f64 =
                law.iter().filter(|(x, _)| x[position] == text[position]).map(|(_, p)| p).sum();
            -p.ln()
        };
        for (n, text) in texts.iter().enumerate() {
            for i in 0..4 {
                let expected = conditional(text.tokens(), &[i], i);
                assert!((f64::from(whole[(n, i)]) - expected).abs() < 1e-4);
                let expected = conditional(text.tokens(), &[i % 2, i % 2 + 2], i);
                assert!((f64::from(halves[(n, i)]) - expected).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn given_positions_have_no_surprise() {
        let joint = TabularJoint::random(3, 3, 1.0, 5).unwrap();
        let canvas = Canvas::infill(vec![joint.mask(), 1, joint.mask()], joint.mask()).unwrap();
        let sample = Sample::new(canvas, vec![0, 1, 2]).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint).unwrap());
        let profile = surprise.profiles(&[sample]).unwrap();
        assert!(profile[(0, 0)] > 0.0 && profile[(0, 1)] == 0.0 && profile[(0, 2)] > 0.0);
    }

    /// Independent draws have the right marginals, so that features of single tokens cannot detect them.
    #[test]
    fn independent_draws_score_below_the_joint() {
        let joint = TabularJoint::random(4, 3, 0.3, 11).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint.clone()).unwrap());
        let exact = |seed| samples(&joint, one_at_a_time(&joint).seed(seed), 600);
        let all = TokensPerStep::new(4).unwrap();
        let apart = one_at_a_time(&joint).unmasker(Marginal::default()).schedule(all).seed(3);
        let apart = samples(&joint, apart, 600);
        let reference = surprise.profiles(&exact(1)).unwrap();
        let score = |texts: &[Sample]| {
            let profiles = surprise.profiles(texts).unwrap();
            Mauve::default().measure(profiles.view(), reference.view(), &Bootstrap::new(1)).unwrap()
        };
        let (ceiling, apart) = (score(&exact(2)), score(&apart));
        assert!(ceiling.value > 0.95 && apart.high < ceiling.low, "{ceiling} {apart}");
    }

    #[test]
    fn errors_name_unusable_samples() {
        let joint = TabularJoint::random(3, 3, 1.0, 5).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint.clone()).unwrap());
        let sample = |length: usize| {
            let canvas = Canvas::unconditional(length, joint.mask()).unwrap();
            Sample::new(canvas, vec![0; length]).unwrap()
        };
        assert!(matches!(surprise.profiles(&[]), Err(Error::Empty(_))));
        let uneven = surprise.profiles(&[sample(3), sample(2)]);
        assert!(matches!(uneven, Err(Error::Shape { got: 2, expected: 3, .. })));
        let longer = surprise.profiles(&[sample(4)]);
        assert!(matches!(longer, Err(Error::Outside { .. })));
        assert!(matches!(surprise.folds(1), Err(Error::Parameter { .. })));
    }
}
