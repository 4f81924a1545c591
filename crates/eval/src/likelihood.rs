//! The likelihood of samples under the frozen model's own one-at-a-time path, or under any other scorer.

use std::sync::Arc;

use conjoint_core::observer::Reveal;
use conjoint_core::order::Entropy;
use conjoint_core::unmasker::TeacherForced;
use conjoint_core::{Canvas, Generator, Observer, Order, TokenId};

use crate::{Bootstrap, Error, Measured};

/// A finished sequence with its canvas, which separates given tokens from drawn ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    canvas: Canvas,
    tokens: Vec<TokenId>,
}

impl Sample {
    /// A sample of `tokens` \[T\], which must fill the masked positions of `canvas`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ, and [`Error::Sample`] if a given token was changed or a mask remains.
    pub fn new(canvas: Canvas, tokens: Vec<TokenId>) -> Result<Self, Error> {
        if tokens.len() != canvas.len() {
            let (got, expected) = (tokens.len(), canvas.len());
            return Err(Error::Shape { what: "the number of tokens", got, expected });
        }
        for (position, (&token, &given)) in tokens.iter().zip(canvas.tokens()).enumerate() {
            let reason = match token {
                _ if token == canvas.mask() => "it holds the mask id",
                _ if !canvas.is_masked(position) && token != given => "a given token was changed",
                _ => continue,
            };
            return Err(Error::Sample { position, reason });
        }
        Ok(Self { canvas, tokens })
    }

    /// The canvas, with the given tokens.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// All tokens \[T\], given and drawn.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The number of drawn tokens.
    pub fn drawn(&self) -> usize {
        self.canvas.masked().count()
    }
}

/// A model that scores samples by their likelihood. Implement it for your own language model.
pub trait Scorer {
    /// Returns ln p(drawn tokens | given tokens) of each sample, in nats, in the same order.
    ///
    /// # Errors
    /// The scorer's own errors.
    fn log_likelihoods(&self, samples: &[Sample]) -> Result<Vec<f64>, Error>;
}

/// Negative log-likelihood in nats per token: −Σ ln p / Σ drawn tokens. The interval resamples sequences.
///
/// The exponential of the value is the perplexity.
///
/// # Errors
/// Those of the scorer, [`Error::Shape`] if it returns another number of scores, and [`Error::Empty`].
#[doc(alias = "perplexity")]
#[doc(alias = "negative log-likelihood")]
#[doc(alias = "cross-entropy")]
pub fn nll(
    samples: &[Sample],
    scorer: &dyn Scorer,
    bootstrap: &Bootstrap,
) -> Result<Measured, Error> {
    let scores = scorer.log_likelihoods(samples)?;
    if scores.len() != samples.len() {
        let (got, expected) = (scores.len(), samples.len());
        return Err(Error::Shape { what: "the number of scores", got, expected });
    }
    let scored: Vec<(f64, usize)> =
        scores.into_iter().zip(samples.iter().map(Sample::drawn)).collect();
    bootstrap.one(&scored, |scored| {
        let sum = scored.iter().map(|(score, _)| score).sum::<f64>();
        -sum / scored.iter().map(|(_, drawn)| drawn).sum::<usize>() as f64
    })
}

/// The likelihood under the model's own path: reveals a sample's tokens one per forward pass, in the model's own order
/// ([`TeacherForced`]), and sums their log-probabilities.
///
/// ln p = Σₛ ln p(x_πₛ | given tokens, x_π₁ … x_πₛ₋₁), where π is the order of one-at-a-time sampling on this sequence.
/// This is the log-probability with which [`ExactSequential`](conjoint_core::unmasker::ExactSequential) draws the sample,
/// if the generator has the same filter, bans and blocks.
///
/// The generator's unmasker, order, schedule, draw and seed are ignored. It must have no policy and no reviser except those
/// of its strategy. A token that the filter excludes gives ln p = −∞. The cost is one forward pass per token, in batches.
#[doc(alias = "teacher forcing")]
#[derive(Clone)]
pub struct OwnPath {
    generator: Generator,
    order: Arc<dyn Order>,
}

impl OwnPath {
    /// The path of this generator's model, lowest entropy first.
    pub fn new(generator: Generator) -> Self {
        Self { generator, order: Arc::new(Entropy) }
    }

    /// Sets another order, which must depend on the rows only.
    pub fn order(mut self, order: impl Order + 'static) -> Self {
        self.order = Arc::new(order);
        self
    }
}

impl Scorer for OwnPath {
    fn log_likelihoods(&self, samples: &[Sample]) -> Result<Vec<f64>, Error> {
        let plain = self.generator.clone().without_strategy();
        let request = |sample: &Sample| {
            let forced = TeacherForced::new(&sample.tokens[..]).order(self.order.clone());
            (sample.canvas.clone(), plain.clone().unmasker(forced))
        };
        let mut sum = Sum(vec![0.0; samples.len()]);
        let outputs = self.generator.run_each(samples.iter().map(request).collect(), &mut sum)?;
        for (output, sample) in outputs.iter().zip(samples) {
            let changed = output.tokens.iter().zip(&sample.tokens).position(|(a, b)| a != b);
            if let Some(position) = changed {
                let reason = "it differs from the generator's padding after the end of the text";
                return Err(Error::Sample { position, reason });
            }
        }
        Ok(sum.0)
    }
}

/// Σ ln p of each sequence.
struct Sum(Vec<f64>);

impl Observer for Sum {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0[reveal.sequence] += reveal.probability.ln();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_core::filter::{Temperature, TopK};
    use conjoint_core::order::{LeftToRight, Random};
    use conjoint_core::schedule::TokensPerStep;
    use conjoint_core::unmasker::Marginal;
    use conjoint_testkit::{TabularDenoiser, TabularJoint};

    fn joint() -> TabularJoint {
        TabularJoint::random(3, 3, 1.0, 5).unwrap()
    }

    fn generator() -> Generator {
        Generator::new(TabularDenoiser::new(joint()).unwrap())
    }

    /// Every sequence of the joint, with its probability.
    fn all() -> (Vec<Sample>, Vec<f64>) {
        let (joint, law) = (joint(), joint().law());
        let canvas = Canvas::unconditional(3, joint.mask()).unwrap();
        let sample = |(tokens, p): (&[TokenId], f64)| {
            (Sample::new(canvas.clone(), tokens.to_vec()).unwrap(), p)
        };
        law.iter().map(sample).unzip()
    }

    /// In any order, a consistent model's conditionals multiply to its joint.
    #[test]
    fn the_path_multiplies_to_the_joint() {
        let (samples, law) = all();
        for path in [OwnPath::new(generator()), OwnPath::new(generator()).order(LeftToRight)] {
            let scores = path.log_likelihoods(&samples).unwrap();
            for (score, p) in scores.iter().zip(&law) {
                assert!((score - p.ln()).abs() < 1e-5, "{score} {}", p.ln());
            }
        }
        // Not the product of the marginals.
        let apart = joint().product_of_marginals();
        let scores = OwnPath::new(generator()).log_likelihoods(&samples).unwrap();
        let pairs = samples.iter().zip(&scores);
        let off =
            pairs.map(|(sample, score)| (score - apart.probability(sample.tokens()).ln()).abs());
        assert!(off.fold(0.0, f64::max) > 0.1);
    }

    #[test]
    fn given_tokens_are_not_scored() {
        let joint = joint();
        let canvas = Canvas::infill(vec![joint.mask(), 1, joint.mask()], joint.mask()).unwrap();
        let sample = Sample::new(canvas.clone(), vec![0, 1, 2]).unwrap();
        assert_eq!(sample.drawn(), 2);
        let score = OwnPath::new(generator()).log_likelihoods(&[sample]).unwrap()[0];
        let expected = joint.given(canvas.tokens()).unwrap().probability(&[0, 1, 2]).ln();
        assert!((score - expected).abs() < 1e-5, "{score} {expected}");
    }

    #[test]
    fn filters_apply_to_the_path() {
        let (samples, _) = all();
        let cold = generator().filter(Temperature::new(0.5).unwrap());
        let scores = OwnPath::new(cold).log_likelihoods(&samples).unwrap();
        let total: f64 = scores.iter().map(|score| score.exp()).sum();
        assert!((total - 1.0).abs() < 1e-5, "the total probability is {total}");
        let first = |path: OwnPath| path.log_likelihoods(&samples).unwrap()[0];
        let warm = first(OwnPath::new(generator()));
        assert!((scores[0] - warm).abs() > 1e-3);
        // Only the greedy sequence is possible.
        let greedy = generator().filter(TopK::new(1).unwrap());
        let scores = OwnPath::new(greedy).log_likelihoods(&samples).unwrap();
        assert_eq!(scores.iter().filter(|score| score.is_finite()).count(), 1);
    }

    #[test]
    fn the_batch_size_does_not_change_scores() {
        let (samples, _) = all();
        let scores = |size| {
            let generator = generator().batch_size(size).unwrap();
            OwnPath::new(generator).log_likelihoods(&samples).unwrap()
        };
        assert_eq!(scores(1), scores(7));
    }

    #[test]
    fn the_generators_schedule_and_unmasker_are_ignored() {
        let (samples, _) = all();
        let plain = OwnPath::new(generator()).log_likelihoods(&samples).unwrap();
        let three = generator().order(LeftToRight).schedule(TokensPerStep::new(3).unwrap());
        assert_eq!(OwnPath::new(three.clone()).log_likelihoods(&samples).unwrap(), plain);
        let marginal = three.unmasker(Marginal::default());
        assert_eq!(OwnPath::new(marginal).log_likelihoods(&samples).unwrap(), plain);
    }

    /// The mean of −ln p of the joint's samples is its entropy, within the interval.
    #[test]
    fn nll_of_own_samples_is_the_entropy() {
        let canvas = Canvas::unconditional(3, joint().mask()).unwrap();
        let outputs = generator().seed(3).run(vec![canvas.clone(); 2000], &mut ()).unwrap();
        let sample = |tokens: Vec<TokenId>| Sample::new(canvas.clone(), tokens).unwrap();
        let samples: Vec<_> = outputs.into_iter().map(|output| sample(output.tokens)).collect();
        let law = joint().law();
        let entropy: f64 = law.iter().map(|(_, p)| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum();
        let path = OwnPath::new(generator()).order(Random);
        let measured = nll(&samples, &path, &Bootstrap::new(1)).unwrap();
        assert!(measured.low < entropy / 3.0 && entropy / 3.0 < measured.high, "{measured}");
        assert!(measured.high - measured.low < 0.1 && measured.n == 2000, "{measured}");
        // Uniform sequences are less likely.
        let (uniform, _) = all();
        let measured = nll(&uniform, &path, &Bootstrap::new(1)).unwrap();
        assert!(measured.value > entropy / 3.0 + 0.1, "{measured}");
    }

    struct Short;

    impl Scorer for Short {
        fn log_likelihoods(&self, _: &[Sample]) -> Result<Vec<f64>, Error> {
            Ok(vec![-1.0])
        }
    }

    #[test]
    fn errors_name_unusable_samples() {
        let canvas = Canvas::new(&[1], 2, 3).unwrap();
        let rejected =
            |tokens: &[TokenId]| Sample::new(canvas.clone(), tokens.to_vec()).unwrap_err();
        assert!(matches!(rejected(&[1, 2]), Error::Shape { got: 2, expected: 3, .. }));
        assert!(matches!(rejected(&[0, 2, 2]), Error::Sample { position: 0, .. }));
        assert!(matches!(rejected(&[1, 2, 3]), Error::Sample { position: 2, .. }));
        let (samples, _) = all();
        assert!(matches!(nll(&samples, &Short, &Bootstrap::new(0)), Err(Error::Shape { .. })));
        assert!(matches!(
            nll(&[], &OwnPath::new(generator()), &Bootstrap::new(0)),
            Err(Error::Empty(_))
        ));
        assert!(nll(&samples[..1], &Short, &Bootstrap::new(0)).unwrap().value == 1.0 / 3.0);
    }
}
