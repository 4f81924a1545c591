//! The class `Model`.

use std::path::PathBuf;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint_lab::registry::CacheSpec;
use conjoint_lab::{Error, Model as LabModel};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{exception, invalid};
use crate::generate::generate;
use crate::kwargs::{Kwargs, type_error};
use crate::prompts;
use crate::result::{GenerationResult, token_array};
use crate::settings::Settings;
use crate::steps::Steps;

/// An open model, made by `conjoint.open`.
///
/// Calls release the interpreter's lock, so that several models run in several threads at once.
#[pyclass(module = "conjoint", frozen)]
pub struct Model {
    inner: Arc<LabModel>,
    cache: Option<CacheSpec>,
}

impl Model {
    pub fn new(inner: Arc<LabModel>, cache: Option<CacheSpec>) -> Self {
        Self { inner, cache }
    }

    fn vocabulary(&self) -> &Vocabulary {
        self.inner.denoiser.vocabulary()
    }

    fn tokenizer(&self, name: &'static str, value: &str) -> PyResult<&Tokenizer> {
        self.inner.tokenizer(name, value).map_err(exception)
    }
}

#[pymethods]
impl Model {
    /// The folder of the model.
    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.options().folder.clone()
    }

    /// Number of token ids V.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.vocabulary().size()
    }

    /// The id of the mask.
    #[getter]
    fn mask_id(&self) -> TokenId {
        self.vocabulary().mask()
    }

    /// The id that ends a sequence, or None. `eos_ids` lists all.
    #[getter]
    fn eos_id(&self) -> Option<TokenId> {
        self.vocabulary().eos()
    }

    /// All ids that end a sequence.
    #[getter]
    fn eos_ids(&self) -> Vec<TokenId> {
        self.vocabulary().eos_ids().to_vec()
    }

    /// The id of the padding, or None.
    #[getter]
    fn pad_id(&self) -> Option<TokenId> {
        self.vocabulary().pad()
    }

    /// The id that begins a sequence, or None.
    #[getter]
    fn bos_id(&self) -> Option<TokenId> {
        self.vocabulary().bos()
    }

    /// The largest number of positions of a sequence, or None.
    #[getter]
    fn max_length(&self) -> Option<usize> {
        self.inner.denoiser.max_length()
    }

    /// The length of the attention blocks of a block-causal model, or None.
    #[getter]
    fn attention_block(&self) -> Option<usize> {
        self.inner.denoiser.attention_block()
    }

    /// Whether the export has a sampler layer.
    #[getter]
    fn has_sampler_layer(&self) -> bool {
        self.inner.denoiser.manifest().graphs.sampler_form().is_some()
    }

    /// Whether the folder has a tokenizer that can be used.
    #[getter]
    fn has_tokenizer(&self) -> bool {
        self.inner.tokenizer.is_some()
    }

    /// Encodes a text.
    ///
    /// Args:
    ///     text: The text.
    ///     literal: Whether special tokens such as <|im_end|> in the text are literal text.
    ///     add_special_tokens: Whether to add the tokens that the tokenizer puts before every text.
    ///
    /// Returns:
    ///     Token ids, int64 [n].
    #[pyo3(signature = (text, *, literal=false, add_special_tokens=false))]
    fn encode(
        &self,
        py: Python<'_>,
        text: &str,
        literal: bool,
        add_special_tokens: bool,
    ) -> PyResult<Py<PyArray1<i64>>> {
        let tokenizer = self.tokenizer("text", text)?;
        let encode = || match literal {
            false => tokenizer.encode(text),
            true => tokenizer.encode_literally(text),
        };
        let ids = py.detach(encode).map_err(|error| invalid("text", text, &error.to_string()))?;
        let ids = if add_special_tokens { tokenizer.prompt(ids) } else { ids };
        Ok(token_array(py, &ids))
    }

    /// Decodes token ids, special tokens included.
    ///
    /// Args:
    ///     tokens: Token ids, an iterable or an array [n].
    fn decode(&self, tokens: &Bound<'_, PyAny>) -> PyResult<String> {
        let ids = prompts::tokens("tokens", tokens)?;
        let tokenizer = self.tokenizer("tokens", "")?;
        tokenizer.decode(&ids).map_err(|error| exception(Error::Text(error)))
    }

    /// The text of one token within a text, with its leading space.
    fn piece(&self, token: &Bound<'_, PyAny>) -> PyResult<String> {
        let wrong = || type_error("token", "a token id", token);
        let token = prompts::token("token", token)?.ok_or_else(wrong)?;
        let tokenizer = self.tokenizer("token", &token.to_string())?;
        tokenizer.piece(token).map_err(|error| exception(Error::Text(error)))
    }

    /// Generates sequences.
    ///
    /// Equal settings and seeds give the tokens of the command `conjoint generate`, up to the rounding of ONNX Runtime. Ctrl-C
    /// interrupts between two denoising steps.
    ///
    /// Args:
    ///     prompts: A prompt, or an iterable of prompts. A prompt is a str, token ids (a list or an array [n]), a chat (a list of
    ///         dicts with role and content), or None to start from masks only.
    ///     gen_length: Number of tokens to generate. A prompt with holes needs none.
    ///     strategy: A preset ("quality", "balanced", "fast"), or UNMASKER[+SCHEDULE][/REVISER][@CACHE], such as
    ///         "joint:window=3+entropy-bound:0.3". By default "exact": one token per forward.
    ///     schedule: How many tokens a step reveals, such as "per-step:4", or a policy. By default one.
    ///     revise: Which tokens are masked again or replaced, such as "wino".
    ///     order: Which positions are revealed first. By default those of the lowest entropy.
    ///     order_temperature: Draws positions from softmax(score / T) instead of taking the best.
    ///     block_length: Length of blocks that are generated from left to right, in tokens.
    ///     open_next_block: Share of a block that must be known before the next one opens, 0 to 1.
    ///     temperature: Divides the logits; 0 takes the most probable token. By default 1.
    ///     top_k: Keeps the N most probable tokens.
    ///     top_p: Keeps the most probable tokens that sum to more than P.
    ///     min_p: Keeps tokens with at least P times the largest probability.
    ///     ban: Tokens that are never drawn: "mask", "pad", "bos", "eos", ids, and ranges such as "5-8". By default the mask and
    ///         ids without a token; an empty list bans nothing.
    ///     eos_penalty: Nats to subtract from the logits of end-of-sequence and padding tokens.
    ///     min_length: Number of generated positions at which end-of-sequence tokens are banned.
    ///     repetition_penalty: Factor of the logits of tokens of the sequence (CTRL), at least 1.
    ///     cfg_scale: Scale of classifier-free guidance; 0 is none.
    ///     sampler: Folder of another export, for its sampler layer.
    ///     scorer: Autoregressive model for strategies that take one: "ngram:N:FILE", "onnx:FILE" or "onnx:FILE@ID".
    ///     stop_at_eos: Whether a sequence ends at the model's end-of-sequence tokens. A chat always does.
    ///     eos: Ids or tokens that end a sequence instead of the model's own.
    ///     stop: A text or texts that end a sequence.
    ///     infill: Whether the prompts have holes: "[MASK]" is one token to generate, "[MASK*N]" N tokens; in ids, the mask id.
    ///     literal: Whether special tokens in a text are literal text.
    ///     add_special_tokens: Whether to add the tokens that the tokenizer puts around every text. By default True.
    ///     template_args: Variables of the chat template, a dict of JSON values.
    ///     seed: Seed of the draws. Sample j of prompt i draws from stream i * num_samples + j. By default 0.
    ///     num_samples: Number of samples of each prompt. By default 1.
    ///     batch_size: Largest number of sequences in one forward. By default 16.
    ///
    /// Returns:
    ///     A list of Result: all samples of the first prompt, then those of the next. A sequence that fails has the finish reason
    ///     "error", and a warning counts them. If all fail, the first error is raised.
    ///
    /// Raises:
    ///     ValueError: An argument is invalid, or would have no effect.
    ///     conjoint.Error: The model or the strategy failed.
    #[pyo3(
        signature = (prompts, **settings),
        text_signature = "($self, prompts, *, gen_length=None, strategy='exact', schedule=None, revise=None, order=None, \
            order_temperature=None, block_length=None, open_next_block=None, temperature=1.0, top_k=None, top_p=None, \
            min_p=None, ban=None, eos_penalty=None, min_length=None, repetition_penalty=None, cfg_scale=0.0, sampler=None, \
            scorer=None, stop_at_eos=False, eos=None, stop=None, infill=False, literal=False, add_special_tokens=True, \
            template_args=None, seed=0, num_samples=1, batch_size=16)"
    )]
    fn generate(
        &self,
        py: Python<'_>,
        prompts: &Bound<'_, PyAny>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<GenerationResult>> {
        let kwargs = Kwargs::new(py, "generate", settings)?;
        let settings = Settings::take(&kwargs, self.cache.as_ref())?;
        let samples: usize = kwargs.count("num_samples")?.unwrap_or(1);
        kwargs.finish()?;
        if !(1..=1_000_000).contains(&samples) {
            let reason = "expected an integer from 1 to 1000000";
            return Err(invalid("num_samples", &samples.to_string(), reason));
        }
        let prompts = prompts::several(prompts, settings.infill)?;
        generate(py, &self.inner, &settings, &prompts, samples)
    }

    /// Generates one sequence step by step.
    ///
    /// With the same settings, its tokens are those of `generate`.
    ///
    /// Args:
    ///     prompt: As one prompt of `generate`.
    ///     stream: Stream of the seed. Stream i is that of sample i of one prompt. By default 0.
    ///     rows: Whether each step has the rows of the model. They take 4 * V bytes for each masked position and call. With False,
    ///         a step costs no more than in `generate`.
    ///
    /// All other arguments are those of `generate`.
    ///
    /// Returns:
    ///     An iterator over Step. After the last step, its attribute `result` is the Result.
    #[pyo3(
        signature = (prompt, **settings),
        text_signature = "($self, prompt, *, gen_length=None, strategy='exact', schedule=None, revise=None, order=None, \
            order_temperature=None, block_length=None, open_next_block=None, temperature=1.0, top_k=None, top_p=None, \
            min_p=None, ban=None, eos_penalty=None, min_length=None, repetition_penalty=None, cfg_scale=0.0, sampler=None, \
            scorer=None, stop_at_eos=False, eos=None, stop=None, infill=False, literal=False, add_special_tokens=True, \
            template_args=None, seed=0, stream=0, rows=True)"
    )]
    fn steps(
        &self,
        py: Python<'_>,
        prompt: &Bound<'_, PyAny>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Steps> {
        let kwargs = Kwargs::new(py, "steps", settings)?;
        let stream = kwargs.count("stream")?.unwrap_or(0);
        let rows = kwargs.flag("rows")?.unwrap_or(true);
        let settings = Settings::take(&kwargs, self.cache.as_ref())?;
        kwargs.finish()?;
        let prompt = prompts::one(prompt, settings.infill)?;
        Steps::begin(py, self.inner.clone(), settings, prompt, (stream, rows))
    }

    fn __repr__(&self) -> String {
        let layer = if self.has_sampler_layer() { ", with a sampler layer" } else { "" };
        let length = self.max_length().map_or_else(String::new, |n| format!(", {n} positions"));
        let path = self.path();
        format!("<conjoint.Model {path:?}: {} tokens{length}{layer}>", self.vocab_size())
    }
}
