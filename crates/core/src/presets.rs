//! Presets: functions that return a configured [`Generator`].
//!
//! [`llada`], [`dream`], [`fast_dllm`] and [`adjust`] are published decoding loops. [`quality`], [`balanced`] and
//! [`fast`] use a sampler layer with a budget each.
//!
//! ```
//! use conjoint_core::presets::{Llada, llada};
//! # use conjoint_core::{DenseRows, Canvas, Denoiser, Error, Generator, RowId, State, Vocabulary};
//! # fn example(model: impl Denoiser + 'static) -> Result<Generator, Error> {
//! let generator = llada(model, Llada { steps: 64, cfg_scale: 0.5, ..Llada::default() })?;
//! # Ok(generator)
//! # }
//! ```
//!
//! At temperature 0 the published loops take the most probable token. [`llada`], [`dream`] and [`fast_dllm`] ban
//! no id. As in their sources, the mask id then counts in scores, although it is never drawn. The budgets keep
//! the default [ban](Generator::ban).

use std::sync::Arc;

use crate::draw::Argmax;
use crate::filter::{Temperature, TopK, TopP};
use crate::guidance::ClassifierFree;
use crate::order::{Entropy, Margin, PlackettLuce, Random};
use crate::policy::Origin;
use crate::schedule::{DreamLinear, EntropyBound, LladaEven, Threshold, TokensPerStep};
use crate::unmasker::{Confidence, LearnedJoint, Marginal, Score};
use crate::{Denoiser, Error, Filter, Generator, Order, SamplerLayer};

/// Which drawn tokens LLaDA's loop keeps. It remasks the others.
#[doc(alias = "low_confidence")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remasking {
    /// Those with the highest probability in the row before temperature.
    #[default]
    LowConfidence,
    /// Random ones.
    Random,
}

/// Parameters of [`llada`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llada {
    /// Denoising steps over all blocks. Default: 128.
    pub steps: usize,
    /// Positions of a block; the last one may be shorter. Default: 128.
    pub block_length: usize,
    /// Sampling temperature. Default: 0.
    pub temperature: f64,
    /// Scale w of classifier-free guidance. Default: 0, none.
    pub cfg_scale: f64,
    /// Which tokens are kept. Default: by confidence.
    pub remasking: Remasking,
}

impl Default for Llada {
    fn default() -> Self {
        let remasking = Remasking::LowConfidence;
        Self { steps: 128, block_length: 128, temperature: 0.0, cfg_scale: 0.0, remasking }
    }
}

/// LLaDA's `generate` (arXiv 2502.09992): blocks from left to right, an even share of tokens in each step.
///
/// The source takes the argmax of eˡ / (−ln u)ᵀ at temperature T. That is the argmax of l + T·Gumbel, which
/// has the law softmax(l / T). Here it is a [`Temperature`] and a categorical draw.
///
/// # Errors
/// [`Error::Parameter`].
pub fn llada(model: impl Denoiser + 'static, with: Llada) -> Result<Generator, Error> {
    let generator = Generator::new(ClassifierFree::new(model, with.cfg_scale)?).ban([]);
    let generator = match with.remasking {
        Remasking::LowConfidence => generator.unmasker(Confidence::new(Score::Raw)),
        Remasking::Random => generator.unmasker(Marginal::new(Random)),
    };
    let generator = generator.schedule(LladaEven::new(with.steps)?);
    with_filters(generator, with.temperature, None, None)?.block_length(with.block_length)
}

/// Which positions Dream's loop reveals: its `alg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DreamAlgorithm {
    /// `entropy`: lowest entropy of the filtered row first.
    #[default]
    Entropy,
    /// `topk_margin`: largest difference of the two largest probabilities first.
    TopkMargin,
    /// `maskgit_plus`: highest probability of the drawn token first.
    MaskgitPlus,
    /// `origin`: each position independently at random.
    Origin,
}

/// Parameters of [`dream`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dream {
    /// Denoising steps. Default: 512.
    pub steps: usize,
    /// The last timestep ε. Default: 1e-3.
    pub epsilon: f64,
    /// Which positions are revealed. Default: by entropy, as in Dream's examples (the default of its code is
    /// `origin`).
    pub algorithm: DreamAlgorithm,
    /// `alg_temp`: positions are drawn from softmax(score / alg_temp). Default: none, which takes the best.
    /// `origin` requires none, because it does not rank positions.
    pub algorithm_temperature: Option<f64>,
    /// Sampling temperature. Default: 0.
    pub temperature: f64,
    /// p of the nucleus filter. Default: none.
    pub top_p: Option<f64>,
    /// k of the top-k filter. Default: none; a generation configuration derived from a model's may set 50.
    pub top_k: Option<usize>,
}

impl Default for Dream {
    fn default() -> Self {
        let algorithm = DreamAlgorithm::Entropy;
        let (temperature, top_p, top_k) = (0.0, None, None);
        let algorithm_temperature = None;
        Self {
            steps: 512,
            epsilon: 1e-3,
            algorithm,
            algorithm_temperature,
            temperature,
            top_p,
            top_k,
        }
    }
}

/// Dream's `diffusion_generate` (arXiv 2508.15487): one block, the linear schedule with the floor
/// rule, scores after temperature, top-p and top-k, in that order.
///
/// # Errors
/// [`Error::Parameter`].
#[doc(alias = "diffusion_generate")]
#[doc(alias = "DiffuCoder")]
pub fn dream(model: impl Denoiser + 'static, with: Dream) -> Result<Generator, Error> {
    let generator = Generator::new(model).ban([]);
    let generator = match with.algorithm {
        DreamAlgorithm::Entropy => generator.unmasker(ordered_by(Entropy, with)?),
        DreamAlgorithm::TopkMargin => generator.unmasker(ordered_by(Margin, with)?),
        DreamAlgorithm::MaskgitPlus => {
            let best = Confidence::new(Score::Filtered);
            generator.unmasker(match with.algorithm_temperature {
                None => best,
                Some(temperature) => best.plackett_luce(temperature)?,
            })
        }
        DreamAlgorithm::Origin => {
            if let Some(temperature) = with.algorithm_temperature {
                let expected = "none with the algorithm origin, which does not rank positions";
                return Err(Error::parameter("alg_temp", temperature, expected));
            }
            let origin = Origin::new(with.steps)?.with_epsilon(with.epsilon)?;
            generator.unmasker(Marginal::default()).policy(origin)
        }
    };
    let generator = match with.algorithm {
        DreamAlgorithm::Origin => generator,
        _ => {
            let schedule = DreamLinear::new(with.steps)?.with_epsilon(with.epsilon)?;
            generator.schedule(schedule)
        }
    };
    with_filters(generator, with.temperature, with.top_p, with.top_k)
}

/// Independent draws in an order, or in a random ranking by its scores.
fn ordered_by(order: impl Order + 'static, with: Dream) -> Result<Marginal, Error> {
    Ok(match with.algorithm_temperature {
        None => Marginal::new(order),
        Some(temperature) => Marginal::new(PlackettLuce::new(order, temperature)?),
    })
}

/// Parameters of [`fast_dllm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FastDllm {
    /// The confidence τ above which tokens are revealed together. Default: 0.9.
    pub threshold: f64,
    /// Positions of a block; the last one may be shorter. Default: 32.
    pub block_length: usize,
    /// Sampling temperature. Default: 0.
    pub temperature: f64,
}

impl Default for FastDllm {
    fn default() -> Self {
        Self { threshold: 0.9, block_length: 32, temperature: 0.0 }
    }
}

/// Fast-dLLM's parallel decoding (arXiv 2505.22618), without its caches.
///
/// It is LLaDA's loop that reveals every drawn token with a confidence of at least the threshold, and always
/// the best one.
///
/// # Errors
/// [`Error::Parameter`].
#[doc(alias = "Fast-dLLM")]
pub fn fast_dllm(model: impl Denoiser + 'static, with: FastDllm) -> Result<Generator, Error> {
    let generator = Generator::new(model).ban([]).unmasker(Confidence::new(Score::Raw));
    let generator = generator.schedule(Threshold::new(with.threshold)?);
    with_filters(generator, with.temperature, None, None)?.block_length(with.block_length)
}

/// Parameters of [`adjust`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjust {
    /// Denoising steps. For N positions to generate, a step reveals K = N / steps tokens on average. Default: 32.
    pub steps: usize,
    /// The last timestep ε. Default: 1e-3.
    pub epsilon: f64,
    /// Sampling temperature. Default: 1, as for the base models (0.1 for the instruct model).
    pub temperature: f64,
    /// p of the nucleus filter. Default: none (0.9 for the instruct model).
    pub top_p: Option<f64>,
}

impl Default for Adjust {
    fn default() -> Self {
        Self { steps: 32, epsilon: 1e-3, temperature: 1.0, top_p: None }
    }
}

/// ADJUST: approximate joint sampling with a sampler layer (arXiv 2509.22738).
///
/// Dream's schedule, lowest entropy first. The mask, padding and beginning-of-sequence ids are banned, in
/// sampler passes too.
///
/// # Errors
/// [`Error::Parameter`].
pub fn adjust(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
    with: Adjust,
) -> Result<Generator, Error> {
    let vocabulary = model.vocabulary();
    let banned = [Some(vocabulary.mask()), vocabulary.pad(), vocabulary.bos()];
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(sampler))
        .schedule(DreamLinear::new(with.steps)?.with_epsilon(with.epsilon)?)
        .ban(banned.into_iter().flatten());
    with_filters(generator, with.temperature, with.top_p, None)
}

/// Highest quality of the three budgets: close to one token per forward, at two fifths of its cost on
/// `models/tiny`.
///
/// A sampler layer with a window of 3 and a [bound](LearnedJoint::bound) of 0.001 nats, and [`EntropyBound`]
/// at 0.3 nats. `docs/choosing.md` has the measurements behind this, [`balanced`] and [`fast`].
///
/// # Errors
/// None with these values.
pub fn quality(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    Ok(windowed(model, sampler)?.schedule(EntropyBound::new(0.3)?))
}

/// Balanced budget: a quarter of the cost of one token per forward on `models/tiny`.
///
/// As [`quality`], with [`EntropyBound`] at 2 nats.
///
/// # Errors
/// None with these values.
pub fn balanced(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    Ok(windowed(model, sampler)?.schedule(EntropyBound::new(2.0)?))
}

/// Lowest cost of the three budgets: a seventh of the cost of one token per forward on `models/tiny`.
///
/// As [`quality`], with [`TokensPerStep`] at 12 tokens.
///
/// # Errors
/// None with these values.
pub fn fast(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    Ok(windowed(model, sampler)?.schedule(TokensPerStep::new(12)?))
}

fn windowed(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    let joint = LearnedJoint::new(sampler).window(3)?.bound(0.001)?;
    Ok(Generator::new(model).unmasker(joint))
}

/// Adds the filters temperature, top-p and top-k, in this order; draws argmax tokens at temperature 0.
fn with_filters(
    generator: Generator,
    temperature: f64,
    top_p: Option<f64>,
    top_k: Option<usize>,
) -> Result<Generator, Error> {
    let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
    let generator = if temperature == 0.0 {
        generator.draw(Argmax)
    } else {
        filters.push(Arc::new(Temperature::new(temperature)?));
        generator
    };
    if let Some(p) = top_p {
        filters.push(Arc::new(TopP::new(p)?));
    }
    if let Some(k) = top_k {
        filters.push(Arc::new(TopK::new(k)?));
    }
    Ok(generator.filter(filters))
}
