use std::ops::Range;
use std::sync::Arc;

use conjoint_core::filter::{Filter, Temperature, TopP};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{
    Canvas, Denoiser, Generator, Observer, SamplerLayer, SeededStream, TokenId, Vocabulary,
};

use super::blocks::{block_length, in_blocks};
use super::record::{check, record};
use super::source::Source;
use crate::error::Error;
use crate::settings::{FolderSettings, digest};
use crate::trajectory::Trajectory;

/// Texts that the frozen model samples one token at a time, or a sampler layer several at a time, lowest entropy first.
///
/// **Law.** At temperature 1, the model's own joint over sequences of a fixed length, given the prompt: the law of
/// [`ExactSequential`]. With filters, the law of the filtered conditionals. With a [sampler layer](Self::joint), the law
/// of [`LearnedJoint`].
///
/// A text that ends early is padded with end-of-sequence ids, which are drawn like any token. Trajectory i continues
/// prompt i modulo the number of prompts, and draws from stream i of the seed.
#[derive(Clone)]
pub struct Sampled {
    prompts: Vec<Vec<TokenId>>,
    length: usize,
    seed: u64,
    temperature: Temperature,
    top_p: Option<TopP>,
    /// The values of temperature and top-p, for the settings.
    named: (f64, Option<f64>),
    block_length: Option<usize>,
    joint: Option<Joint>,
}

/// Sampling of several tokens per forward pass by a sampler layer.
#[derive(Clone)]
struct Joint {
    unmasker: LearnedJoint,
    /// The identity of the layer.
    layer_name: String,
    tokens_per_step: Vec<usize>,
}

impl Sampled {
    /// Texts of `length` tokens, including the prompt, at temperature 1. An empty prompt gives an unconditional text.
    ///
    /// # Errors
    /// [`Error::Given`] names an unusable prompt; [`Error::Parameter`] if there is no prompt.
    pub fn new(
        prompts: Vec<Vec<TokenId>>,
        length: usize,
        seed: u64,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        if prompts.is_empty() {
            return Err(Error::parameter("prompts", "none", "at least one, which may be empty"));
        }
        for (prompt, number) in prompts.iter().zip(1..) {
            check(("prompt", number), (prompt, prompt.len()), length, vocabulary)?;
        }
        let temperature = temperature(1.0)?;
        Ok(Self {
            prompts,
            length,
            seed,
            temperature,
            top_p: None,
            named: (1.0, None),
            block_length: None,
            joint: None,
        })
    }

    /// Sets the temperature, which divides the logits.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `value` is finite and above 0.
    pub fn temperature(mut self, value: f64) -> Result<Self, Error> {
        self.temperature = temperature(value)?;
        self.named.0 = value;
        Ok(self)
    }

    /// Sets top-p (nucleus) sampling: keeps the most probable tokens whose probabilities sum to more than `p`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `p` is above 0 and at most 1.
    #[doc(alias = "nucleus")]
    pub fn top_p(mut self, p: f64) -> Result<Self, Error> {
        let filter =
            TopP::new(p).map_err(|_| Error::parameter("top-p", p, "above 0, at most 1"))?;
        self.top_p = Some(filter);
        self.named.1 = Some(p);
        Ok(self)
    }

    /// Draws in blocks of this length, from left to right, as
    /// [`Generator::block_length`](conjoint_core::Generator::block_length) does. The order of entropy holds within a block.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `block` is 0, or does not divide the positions after each prompt.
    #[doc(alias = "semi-autoregressive")]
    pub fn block_length(mut self, block: usize) -> Result<Self, Error> {
        let prompts = self.prompts.iter().map(Vec::len);
        self.block_length = Some(block_length(block, self.length, prompts)?);
        Ok(self)
    }

    /// Draws with this sampler layer, in the layer's own order, instead of one token per forward pass.
    ///
    /// Such trajectories include the layer's own mistakes, which those of the frozen model rarely show (DAgger, Ross et al.,
    /// arXiv 1011.0686). Trajectories take the entries of `tokens_per_step` in turn, so that each prompt is combined with
    /// each entry. `layer_name` identifies the layer in the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `tokens_per_step` is empty or holds a 0.
    #[doc(alias = "DAgger")]
    pub fn joint(
        mut self,
        layer: impl SamplerLayer + 'static,
        layer_name: impl Into<String>,
        tokens_per_step: Vec<usize>,
    ) -> Result<Self, Error> {
        if tokens_per_step.is_empty() || tokens_per_step.contains(&0) {
            let got = format!("{tokens_per_step:?}");
            return Err(Error::parameter("tokens a step", got, "at least 1 each"));
        }
        let unmasker = LearnedJoint::new(layer);
        self.joint = Some(Joint { unmasker, layer_name: layer_name.into(), tokens_per_step });
        Ok(self)
    }

    fn prompt(&self, index: u64) -> &[TokenId] {
        &self.prompts[(index % self.prompts.len() as u64) as usize]
    }

    fn filters(&self) -> Vec<Arc<dyn Filter>> {
        let mut filters: Vec<Arc<dyn Filter>> = vec![Arc::new(self.temperature)];
        filters.extend(self.top_p.map(|filter| Arc::new(filter) as Arc<dyn Filter>));
        filters
    }
}

fn temperature(value: f64) -> Result<Temperature, Error> {
    Temperature::new(value).map_err(|_| Error::parameter("temperature", value, "finite, above 0"))
}

impl Joint {
    /// The entry of trajectory `index`. Entries are taken in turn, shifted by one each time the prompts repeat, so that
    /// every prompt is combined with every entry.
    fn tokens_per_step(&self, index: u64, prompts: u64) -> usize {
        let entries = self.tokens_per_step.len() as u64;
        self.tokens_per_step[((index % prompts + index / prompts) % entries) as usize]
    }
}

impl Source for Sampled {
    fn settings(&self) -> FolderSettings {
        let (temperature, top_p) = self.named;
        let prompts = digest(self.prompts.iter().map(Vec::as_slice));
        let settings = FolderSettings::default()
            .with("source", "sampled")
            .with("prompts", format!("{} ({prompts})", self.prompts.len()))
            .with("length", self.length)
            .with("seed", self.seed)
            .with("temperature", temperature)
            .with("top-p", top_p.map_or("none".to_owned(), |p| p.to_string()))
            .with("order", "entropy");
        let settings = settings.with_block_length(self.block_length);
        let Some(Joint { layer_name, tokens_per_step, .. }) = &self.joint else { return settings };
        settings.with("sampler", layer_name).with("tokens a step", format!("{tokens_per_step:?}"))
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn reveals(&self, index: u64) -> usize {
        self.length - self.prompt(index).len()
    }

    fn make(
        &self,
        model: &Arc<dyn Denoiser>,
        indices: Range<u64>,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Trajectory>, Error> {
        let (mask, seed) = (model.vocabulary().mask(), self.seed);
        let generator = in_blocks(Generator::new(model.clone()), self.block_length)?;
        let generator = generator.filter(self.filters());
        let generator = match &self.joint {
            None => generator.unmasker(ExactSequential::default()),
            Some(joint) => generator.unmasker(joint.unmasker.clone()),
        };
        let request = |index: u64| {
            let stream = move |_| Box::new(SeededStream::new(seed, index)) as _;
            let canvas = Canvas::of_length(self.prompt(index), self.length, mask)?;
            let mut own = generator.clone().streams(stream);
            if let Some(joint) = &self.joint {
                let k = joint.tokens_per_step(index, self.prompts.len() as u64);
                own = own.schedule(TokensPerStep::new(k)?);
            }
            Ok((canvas, own))
        };
        record(&generator, indices, batch, request, observer)
    }
}
