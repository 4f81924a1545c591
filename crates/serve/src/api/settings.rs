//! The settings that both endpoints share.

use std::hash::{BuildHasher, Hasher};

use conjoint::prelude::*;
use conjoint_lab::registry::{ReviserSpec, ScheduleSpec, UnmaskerSpec};
use conjoint_lab::{Error, Filters, Sampling, Stops};

use super::error::ApiError;
use super::request::{Common, Extension, OneOrMany};
use crate::served::Served;

/// The most tokens of a row whose log-probabilities are returned.
const TOP: usize = 20;
/// The most stop texts of a request.
const STOPS: usize = 16;
/// The most bytes of a stop text.
const STOP_BYTES: usize = 4096;

/// How the answer of a request is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// As server-sent events.
    pub stream: bool,
    /// With the counts of tokens as the last event.
    pub usage: bool,
    /// With an event for each step.
    pub events: bool,
    /// With the prompt before each text.
    pub echo: bool,
    /// With log-probabilities, and those of this many further tokens.
    pub logprobs: Option<usize>,
}

/// The settings of a request that both endpoints share.
pub struct Settings {
    pub model: String,
    pub n: u32,
    pub seed: i64,
    pub stream: bool,
    pub usage: bool,
    pub extension: Extension,
    pub sampling: Sampling,
    pub strategy: (UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>),
}

impl Settings {
    /// Reads the settings of a request.
    ///
    /// # Errors
    /// 400 or 404, with the parameter.
    pub fn of(served: &Served, common: Common) -> Result<Self, ApiError> {
        let Common { model, n, temperature, top_p, top_k, min_p, repetition_penalty, seed, .. } =
            common;
        let Common { stop, stream, stream_options, presence_penalty, frequency_penalty, .. } =
            common;
        let Common { logit_bias, user: _, conjoint, .. } = common;
        let named = |error: Error| ApiError::of(&error);
        let names = served.names();
        let missing = || {
            let message = format!("`model` is missing: expected one of {}", names.join(", "));
            ApiError::param("model", message)
        };
        let model = model.ok_or_else(missing)?;
        let preset = served.line(&model).ok_or_else(|| ApiError::no_model(&model, &names))?;
        for (name, value) in
            [("presence_penalty", presence_penalty), ("frequency_penalty", frequency_penalty)]
        {
            if value.is_some_and(|value| value != 0.0) {
                let message =
                    format!("`{name}` is not supported: expected 0; see `repetition_penalty`");
                return Err(ApiError::param(name, message));
            }
        }
        if logit_bias.is_some_and(|bias| !bias.is_empty()) {
            return Err(ApiError::param("logit_bias", "`logit_bias` is not supported"));
        }
        let n = n.unwrap_or(1);
        if n == 0 {
            return Err(ApiError::param("n", "invalid value `0` for `n`: expected at least 1"));
        }
        let stream = stream.unwrap_or(false);
        if stream_options.is_some() && !stream {
            let message = "`stream_options` would have no effect: it needs `stream: true`";
            return Err(ApiError::param("stream_options", message));
        }
        let extension = conjoint.unwrap_or_default();
        if extension.events && !stream {
            let message = "`conjoint.events` would have no effect: it needs `stream: true`";
            return Err(ApiError::param("conjoint.events", message));
        }
        if extension.timeout.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 1e6)) {
            let message = "invalid value for `conjoint.timeout`: expected seconds above 0 and at most 1,000,000";
            return Err(ApiError::param("conjoint.timeout", message));
        }
        let texts = stop.map_or_else(Vec::new, OneOrMany::into_vec);
        if texts.len() > STOPS {
            let message = format!("`stop` has {} texts: expected at most {STOPS}", texts.len());
            return Err(ApiError::param("stop", message));
        }
        if texts.iter().any(|text| text.len() > STOP_BYTES) {
            let message = format!("a text of `stop` has more than {STOP_BYTES} bytes");
            return Err(ApiError::param("stop", message));
        }
        let registry = &served.registry;
        let vocabulary = served.model.denoiser.vocabulary();
        let at_eos = extension.stop_at_eos.unwrap_or(vocabulary.eos().is_some());
        let mut sampling = Sampling {
            order: parsed("order", &extension.order, |text| registry.order(text))?,
            order_temperature: extension.order_temperature,
            block_length: extension.block_length,
            open_next_block: extension.open_next_block,
            filters: Filters {
                temperature: temperature.unwrap_or(1.0),
                top_k,
                top_p,
                min_p,
                repetition_penalty,
                ..Filters::default()
            },
            cfg_scale: extension.cfg_scale.unwrap_or(0.0),
            cache: parsed("cache", &extension.cache, |text| registry.cache(text))?,
            stops: Stops { at_eos, texts, ..Stops::default() },
            batch_size: served.limits.batch,
            ..Sampling::default()
        };
        let parsed = (
            parsed("unmasker", &extension.unmasker, |text| registry.unmasker(text))?,
            parsed("schedule", &extension.schedule, |text| registry.schedule(text))?,
            parsed("revise", &extension.revise, |text| registry.reviser(text))?,
        );
        let asks = [
            ("conjoint.unmasker", parsed.0.is_some()),
            ("conjoint.schedule", parsed.1.is_some()),
            ("conjoint.revise", parsed.2.is_some()),
        ];
        let asked = asks.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        let line = match (preset, asked) {
            (Some(_), Some(name)) => {
                let message = format!(
                    "the model `{model}` has a strategy of its own: `{name}` does not fit it"
                );
                return Err(ApiError::param(name, message));
            }
            (Some(line), None) => Some(line),
            (None, Some(_)) => None,
            (None, None) => Some(&served.default),
        };
        let parts = match line {
            Some(line) => {
                sampling.cache = sampling.cache.or_else(|| line.cache().cloned());
                (Some(line.unmasker()), line.schedule(), line.reviser())
            }
            None => (parsed.0.as_ref(), parsed.1.as_ref(), parsed.2.as_ref()),
        };
        let strategy = sampling.strategy(registry, parts).map_err(named)?;
        let seed = seed.unwrap_or_else(random_seed);
        let usage = stream_options.unwrap_or_default().include_usage;
        Ok(Self { model, n, seed, stream, usage, extension, sampling, strategy })
    }

    /// How the answer is sent.
    ///
    /// # Errors
    /// 400 for too many log-probabilities.
    pub fn form(&self, echo: bool, logprobs: Option<usize>) -> Result<Form, ApiError> {
        if let Some(top) = logprobs.filter(|&top| top > TOP) {
            let message = format!("invalid value `{top}` for `logprobs`: expected at most {TOP}");
            return Err(ApiError::param("logprobs", message));
        }
        let events = self.extension.events;
        Ok(Form { stream: self.stream, usage: self.usage, events, echo, logprobs })
    }
}

/// Parses the key `name` of the extension.
fn parsed<T>(
    name: &str,
    text: &Option<String>,
    parse: impl FnOnce(&str) -> Result<T, Error>,
) -> Result<Option<T>, ApiError> {
    let invalid = |text: &str, error: Error| {
        let (name, shown) = (format!("conjoint.{name}"), conjoint_lab::abbreviated(text));
        let message = format!("invalid value `{shown}` for `{name}`: {error}");
        ApiError::param(name, message)
    };
    let parse = |text: &str| parse(text).map_err(|error| invalid(text, error));
    text.as_deref().map(parse).transpose()
}

/// A seed for a request without one. The standard library draws the keys of its hashes at random.
fn random_seed() -> i64 {
    // 53 bits, which every client of JSON can repeat.
    (std::hash::RandomState::new().build_hasher().finish() >> 11) as i64
}
