use std::ops::Range;
use std::sync::Arc;

use conjoint_core::filter::{Filter, Temperature, TopP};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{
    Canvas, Denoiser, Generator, Observer, SamplerLayer, SeededStream, TokenId, Vocabulary,
};

use super::blocks::{block_length, in_blocks};
use super::record::{check, check_canvas, record};
use super::source::Source;
use crate::error::Error;
use crate::settings::{FolderSettings, digest};
use crate::trajectory::Trajectory;

/// Texts that the frozen model samples one token at a time, or a sampler layer several at a time, lowest entropy first.
///
/// **Law.** At temperature 1, the model's own joint over sequences of a fixed length, given the prompt, or all tokens around
/// the holes: the law of [`ExactSequential`]. With filters, the law of the filtered conditionals. With a [sampler
/// layer](Self::joint), the law of [`LearnedJoint`].
///
/// A text that ends early is padded with end-of-sequence ids, which are drawn like any token. Trajectory i continues
/// prompt i modulo the number of prompts, and draws from stream i of the seed.
///
/// [`from_canvases`](Self::from_canvases) starts from texts with holes instead: of any lengths, and with a given end.
#[derive(Clone)]
pub struct Sampled {
    starts: Starts,
    mask: TokenId,
    seed: u64,
    temperature: Temperature,
    top_p: Option<TopP>,
    /// The values of temperature and top-p, for the settings.
    named: (f64, Option<f64>),
    block_length: Option<usize>,
    joint: Option<Joint>,
}

/// What is given of the texts.
#[derive(Clone)]
enum Starts {
    /// Prompts, continued to `length` tokens.
    Prompts { prompts: Vec<Vec<TokenId>>, length: usize },
    /// Texts with the mask id in their holes.
    Canvases(Vec<Vec<TokenId>>),
}

impl Starts {
    fn all(&self) -> &[Vec<TokenId>] {
        match self {
            Self::Prompts { prompts, .. } => prompts,
            Self::Canvases(canvases) => canvases,
        }
    }

    /// The given part of trajectory `index`.
    fn of(&self, index: u64) -> &[TokenId] {
        &self.all()[(index % self.all().len() as u64) as usize]
    }

    fn canvas(&self, index: u64, mask: TokenId) -> Result<Canvas, conjoint_core::Error> {
        match self {
            Self::Prompts { length, .. } => Canvas::of_length(self.of(index), *length, mask),
            Self::Canvases(_) => Canvas::infill(self.of(index).to_vec(), mask),
        }
    }

    fn settings(&self) -> FolderSettings {
        let all = self.all();
        let listed = format!("{} ({})", all.len(), digest(all.iter().map(Vec::as_slice)));
        match self {
            Self::Prompts { length, .. } => {
                FolderSettings::default().with("prompts", listed).with("length", length)
            }
            Self::Canvases(_) => FolderSettings::default().with("texts with holes", listed),
        }
    }
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
        Self::starting(Starts::Prompts { prompts, length }, seed, vocabulary)
    }

    /// Texts with holes to fill, at temperature 1: `canvases` have the mask id in each hole. Their lengths may differ.
    ///
    /// A model that was trained with a given end needs such starts: masks, and the end token behind them. Draw the numbers of
    /// masks from the lengths of the data.
    ///
    /// # Errors
    /// [`Error::Given`] names a text with an unknown id or fewer than two holes; [`Error::Parameter`] if there is none.
    #[doc(alias = "infilling")]
    pub fn from_canvases(
        canvases: Vec<Vec<TokenId>>,
        seed: u64,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        if canvases.is_empty() {
            return Err(Error::parameter("texts with holes", "none", "at least one"));
        }
        for (canvas, number) in canvases.iter().zip(1..) {
            check_canvas(number, canvas, vocabulary)?;
        }
        Self::starting(Starts::Canvases(canvases), seed, vocabulary)
    }

    fn starting(starts: Starts, seed: u64, vocabulary: &Vocabulary) -> Result<Self, Error> {
        Ok(Self {
            starts,
            mask: vocabulary.mask(),
            seed,
            temperature: temperature(1.0)?,
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
    /// [`Error::Parameter`] if `block` is 0.
    #[doc(alias = "semi-autoregressive")]
    pub fn block_length(mut self, block: usize) -> Result<Self, Error> {
        self.block_length = Some(block_length(block)?);
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
        let settings = self.starts.settings();
        let settings = settings
            .with("source", "sampled")
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
        match (&self.starts, self.starts.of(index)) {
            (Starts::Prompts { length, .. }, prompt) => length - prompt.len(),
            (Starts::Canvases(_), canvas) => canvas.iter().filter(|&&id| id == self.mask).count(),
        }
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
            let canvas = self.starts.canvas(index, mask)?;
            let mut own = generator.clone().streams(stream);
            if let Some(joint) = &self.joint {
                let k = joint.tokens_per_step(index, self.starts.all().len() as u64);
                own = own.schedule(TokensPerStep::new(k)?);
            }
            Ok((canvas, own))
        };
        record(&generator, indices, batch, request, observer)
    }
}
