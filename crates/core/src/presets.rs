//! The settings of the published sampling loops, and of the sampler layer for three budgets, as a [`Generator`] each.
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
//! At temperature 0 each published loop takes the most probable token. None of them but [`adjust`] bans an
//! id; the mask id counts in the scores as it does there, and is only kept from being drawn.

use std::sync::Arc;

use crate::draw::Argmax;
use crate::filter::{Temperature, TopK, TopP};
use crate::guidance::ClassifierFree;
use crate::order::{Entropy, Margin, PlackettLuce, Random};
use crate::policy::Origin;
use crate::schedule::{DreamLinear, EntropyBound, LladaEven, Threshold, TokensPerStep};
use crate::unmasker::{Confidence, LearnedJoint, Marginal, Score};
use crate::{Denoiser, Error, Filter, Generator, Order, SamplerLayer};

/// Where LLaDA's loop keeps tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remasking {
    /// Where the drawn token is most probable in the row before temperature.
    #[default]
    LowConfidence,
    /// Anywhere.
    Random,
}

/// Parameters of [`llada`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llada {
    /// Steps over all blocks: 128.
    pub steps: usize,
    /// Positions of a block: 128. It must divide the positions to generate.
    pub block_length: usize,
    /// 0.
    pub temperature: f64,
    /// Scale w of classifier-free guidance: 0.
    pub cfg_scale: f64,
    /// By confidence.
    pub remasking: Remasking,
}

impl Default for Llada {
    fn default() -> Self {
        let remasking = Remasking::LowConfidence;
        Self { steps: 128, block_length: 128, temperature: 0.0, cfg_scale: 0.0, remasking }
    }
}

/// LLaDA's `generate` (arXiv 2502.09992): blocks from left to right, an even share of tokens each
/// step.
///
/// Its noise at temperature T, eˡ / (−ln u)ᵀ, has its maximum where l + T·Gumbel has, and so draws
/// from softmax(l / T) exactly: here that is a [`Temperature`] and a categorical draw.
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
    drawing(generator, with.temperature, None, None)?.block_length(with.block_length)
}

/// Where Dream's loop keeps tokens: its `alg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DreamAlgorithm {
    /// `entropy`: where the filtered row is most certain.
    #[default]
    Entropy,
    /// `topk_margin`: where the two most probable tokens are furthest apart.
    TopkMargin,
    /// `maskgit_plus`: where the drawn token is most probable.
    MaskgitPlus,
    /// `origin`: each position by a coin of its own.
    Origin,
}

/// Parameters of [`dream`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dream {
    /// 512.
    pub steps: usize,
    /// The last timestep ε: 1e-3.
    pub epsilon: f64,
    /// By entropy, as in Dream's examples (its code's own default is `origin`).
    pub algorithm: DreamAlgorithm,
    /// `alg_temp`: positions are drawn from softmax(score / alg_temp). None takes the best; `origin`, which ranks
    /// nothing, takes none.
    pub algorithm_temperature: Option<f64>,
    /// 0.
    pub temperature: f64,
    /// None.
    pub top_p: Option<f64>,
    /// None; a generation configuration derived from a model's may bring 50.
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
pub fn dream(model: impl Denoiser + 'static, with: Dream) -> Result<Generator, Error> {
    let generator = Generator::new(model).ban([]);
    let generator = match with.algorithm {
        DreamAlgorithm::Entropy => generator.unmasker(by(Entropy, with)?),
        DreamAlgorithm::TopkMargin => generator.unmasker(by(Margin, with)?),
        DreamAlgorithm::MaskgitPlus => {
            let best = Confidence::new(Score::Filtered);
            generator.unmasker(match with.algorithm_temperature {
                None => best,
                Some(temperature) => best.plackett_luce(temperature)?,
            })
        }
        DreamAlgorithm::Origin => {
            if let Some(temperature) = with.algorithm_temperature {
                let expected = "none with the algorithm origin, which ranks nothing";
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
    drawing(generator, with.temperature, with.top_p, with.top_k)
}

/// Independent draws in an order, or in a lottery of its scores.
fn by(order: impl Order + 'static, with: Dream) -> Result<Marginal, Error> {
    Ok(match with.algorithm_temperature {
        None => Marginal::new(order),
        Some(temperature) => Marginal::new(PlackettLuce::new(order, temperature)?),
    })
}

/// Parameters of [`fast_dllm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FastDllm {
    /// τ, how sure a token must be to be revealed with others: 0.9.
    pub threshold: f64,
    /// Positions of a block: 32. It must divide the positions to generate.
    pub block_length: usize,
    /// 0.
    pub temperature: f64,
}

impl Default for FastDllm {
    fn default() -> Self {
        Self { threshold: 0.9, block_length: 32, temperature: 0.0 }
    }
}

/// Fast-dLLM's parallel decoding (arXiv 2505.22618) without its caches: LLaDA's loop, revealing every drawn
/// token with a confidence of at least the threshold, and always the best one.
///
/// # Errors
/// [`Error::Parameter`].
pub fn fast_dllm(model: impl Denoiser + 'static, with: FastDllm) -> Result<Generator, Error> {
    let generator = Generator::new(model).ban([]).unmasker(Confidence::new(Score::Raw));
    let generator = generator.schedule(Threshold::new(with.threshold)?);
    drawing(generator, with.temperature, None, None)?.block_length(with.block_length)
}

/// Parameters of [`adjust`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjust {
    /// Steps over the whole sequence: 32. K is the number of positions to generate over them.
    pub steps: usize,
    /// The last timestep ε: 1e-3.
    pub epsilon: f64,
    /// 1, as for the base models (0.1 for the instruct model).
    pub temperature: f64,
    /// None (0.9 for the instruct model).
    pub top_p: Option<f64>,
}

impl Default for Adjust {
    fn default() -> Self {
        Self { steps: 32, epsilon: 1e-3, temperature: 1.0, top_p: None }
    }
}

/// Approximate joint sampling with a sampler layer (arXiv 2509.22738): Dream's schedule, lowest
/// entropy first, the mask, padding and beginning-of-sequence ids banned throughout.
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
    drawing(generator, with.temperature, with.top_p, None)
}

/// Nearly as good as one token per forward, at two fifths of its cost on `models/tiny`: a sampler layer that looks at a window of 3 and
/// draws within [bounds](LearnedJoint::bound) of 0.001 nats, with [`EntropyBound`] at 0.3 nats.
///
/// This, [`balanced`] and [`fast`] are points of the measurements in `docs/choosing.md`.
///
/// # Errors
/// None with these values.
pub fn quality(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    Ok(windowed(model, sampler)?.schedule(EntropyBound::new(0.3)?))
}

/// A quarter of the cost of one token per forward on `models/tiny`: as [`quality`], with [`EntropyBound`] at 2 nats.
///
/// # Errors
/// None with these values.
pub fn balanced(
    model: impl Denoiser + 'static,
    sampler: impl SamplerLayer + 'static,
) -> Result<Generator, Error> {
    Ok(windowed(model, sampler)?.schedule(EntropyBound::new(2.0)?))
}

/// Twelve tokens a step, a seventh of the cost of one token per forward on `models/tiny`: as [`quality`], with [`TokensPerStep`].
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

/// Draws at this temperature, after truncation by p and then by k.
fn drawing(
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
