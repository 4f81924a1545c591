//! Features that see what does not fit: how improbable each token is, given the others.

use std::sync::Arc;

use conjoint_core::{Canvas, Denoiser, RowId, RowStats};
use ndarray::Array2;

use crate::{Error, Sample};

/// The *surprise profile* of a sample under a frozen model, a feature vector for [`Mauve`](crate::Mauve).
///
/// The drawn positions are masked in F interleaved folds, the n-th of them in fold n mod F, and each fold is read off in
/// one forward: feature i is −ln p(xᵢ | x without the fold of i), in nats and at most [`LIMIT`](Self::LIMIT). Positions
/// that were given have surprise 0.
///
/// Hidden states averaged over a text tell what it is about, hardly whether its tokens go together;
/// and a masked diffusion model is trained on no state but those of masked positions. A profile is all
/// about that: it grows where tokens do not go together. One flaw stands out, so that figures lie far below those on
/// mean hidden states; compare only figures on equal features. Evidence of one kind: it is the frozen model that judges.
#[derive(Clone)]
pub struct Surprise {
    denoiser: Arc<dyn Denoiser>,
    folds: usize,
}

impl Surprise {
    /// The largest surprise, in nats; what the model holds impossible has this one.
    pub const LIMIT: f64 = 20.0;
    /// Canvases of one forward.
    const BATCH: usize = 32;

    /// Under this model, with 8 folds.
    pub fn new(denoiser: impl Denoiser + 'static) -> Self {
        Self { denoiser: Arc::new(denoiser), folds: 8 }
    }

    /// F: in how many forwards a sample is read. More of them leave more of the text in sight.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is below 2.
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
    /// [`Error::Empty`] without samples, [`Error::Shape`] if lengths differ, and the model's as [`Error::Outside`].
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

    /// One forward of (sample, fold)s.
    fn read(
        &self,
        samples: &[Sample],
        batch: &[(usize, usize)],
        profiles: &mut Array2<f32>,
    ) -> Result<(), Error> {
        let (mut canvases, mut rows, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for &(n, fold) in batch {
            let (canvas, tokens) = (samples[n].canvas(), samples[n].tokens());
            let hidden: Vec<usize> = canvas.masked().skip(fold).step_by(self.folds).collect();
            if hidden.is_empty() {
                continue;
            }
            let mut seen = tokens.to_vec();
            for &position in &hidden {
                seen[position] = canvas.mask();
                rows.push(RowId { sequence: canvases.len(), position });
                read.push((n, position));
            }
            canvases.push(Canvas::infill(seen, canvas.mask()).map_err(outside)?);
        }
        if canvases.is_empty() {
            return Ok(());
        }
        let batch: Vec<&Canvas> = canvases.iter().collect();
        let (beliefs, _) = self.denoiser.denoise(&batch, &rows).map_err(outside)?;
        let vocabulary = self.denoiser.vocabulary().size();
        beliefs.expect_shape(rows.len(), vocabulary).map_err(outside)?;
        for (row, (n, position)) in read.into_iter().enumerate() {
            let logits = beliefs.logits(row);
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

    /// With as many folds as positions it is the conditional of each token given all others.
    #[test]
    fn a_profile_is_the_conditionals_of_the_joint() {
        let joint = TabularJoint::random(4, 3, 1.0, 5).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint.clone()).unwrap());
        let texts = samples(&joint, one_at_a_time(&joint).seed(1), 30);
        let whole = surprise.clone().folds(4).unwrap().profiles(&texts).unwrap();
        let halves = surprise.folds(2).unwrap().profiles(&texts).unwrap();
        let conditional = |text: &[TokenId], hidden: &[usize], position: usize| {
            let mut seen = text.to_vec();
            hidden.iter().for_each(|&i| seen[i] = joint.mask());
            let law = joint.given(&seen).unwrap();
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
    fn what_was_given_is_not_asked_for() {
        let joint = TabularJoint::random(3, 3, 1.0, 5).unwrap();
        let canvas = Canvas::infill(vec![joint.mask(), 1, joint.mask()], joint.mask()).unwrap();
        let sample = Sample::new(canvas, vec![0, 1, 2]).unwrap();
        let surprise = Surprise::new(TabularDenoiser::new(joint).unwrap());
        let profile = surprise.profiles(&[sample]).unwrap();
        assert!(profile[(0, 0)] > 0.0 && profile[(0, 1)] == 0.0 && profile[(0, 2)] > 0.0);
    }

    /// Independent draws have the right marginals, so that any feature of single tokens is blind to them.
    #[test]
    fn independent_draws_are_told_from_the_joint() {
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
    fn what_does_not_fit_is_named() {
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
