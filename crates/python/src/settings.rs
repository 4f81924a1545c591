//! The settings of a generation, from keyword arguments.

use conjoint::export::TokenName;
use conjoint::prelude::*;
use conjoint_lab::prompt::PromptReader;
use conjoint_lab::registry::{CacheSpec, Line, ReviserSpec, ScheduleSpec, UnmaskerSpec};
use conjoint_lab::{Error, Filters, Model, Sampling, ScorerSpec, Stops};
use pyo3::prelude::*;

use crate::error::{exception, invalid, parsed, unused};
use crate::kwargs::{Kwargs, Word};
use crate::prompts;
use crate::strategies::registry;

/// What `generate` and `steps` share.
pub struct Settings {
    pub sampling: Sampling,
    pub strategy: (UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>),
    pub gen_length: Option<u32>,
    pub seed: u64,
    /// Whether texts and token ids have holes.
    pub infill: bool,
    literal: bool,
    add_special_tokens: bool,
    template_arguments: Vec<(String, String)>,
}

impl Settings {
    /// Takes the settings. `cache` is that of the model, for a strategy without one.
    pub fn take(kwargs: &Kwargs<'_>, cache: Option<&CacheSpec>) -> PyResult<Self> {
        let registry = registry();
        let line = named(kwargs, "strategy", |text| registry.line(text))?;
        let schedule = named(kwargs, "schedule", |text| registry.schedule(text))?;
        let reviser = named(kwargs, "revise", |text| registry.reviser(text))?;
        let sampling = sampling(kwargs, line.as_ref().and_then(Line::cache).or(cache))?;
        let strategy = strategy(&sampling, line.as_ref(), schedule, reviser)?;
        let infill = kwargs.flag("infill")?.unwrap_or(false);
        let gen_length = kwargs.count("gen_length")?;
        if gen_length == Some(0) {
            return Err(invalid("gen_length", "0", "expected at least 1"));
        }
        if let Some(length) = gen_length.filter(|_| infill) {
            let reason = "the holes of the prompts are what is generated";
            return Err(unused("gen_length", length, reason));
        }
        let mut template_arguments = Vec::new();
        for (name, value) in kwargs.mapping("template_args")?.into_iter().flatten() {
            template_arguments.push((name.extract()?, prompts::json(&value)?));
        }
        Ok(Self {
            sampling,
            strategy,
            gen_length,
            seed: kwargs.count("seed")?.unwrap_or(0),
            infill,
            literal: kwargs.flag("literal")?.unwrap_or(false),
            add_special_tokens: kwargs.flag("add_special_tokens")?.unwrap_or(true),
            template_arguments,
        })
    }

    /// Turns texts into token ids.
    pub fn reader<'m>(&self, model: &'m Model) -> PromptReader<'m> {
        PromptReader::new(model)
            .literal(self.literal)
            .add_special_tokens(self.add_special_tokens)
            .template_arguments(self.template_arguments.clone())
    }

    /// Adds the parameter that caused an error of a run.
    pub fn explain(&self, error: conjoint::Error) -> Error {
        self.sampling.explain(("schedule", &self.strategy.1), error)
    }

    /// The exception of an error of a run.
    pub fn explained(&self, error: conjoint::Error) -> PyErr {
        exception(self.explain(error))
    }
}

/// Parses an argument by the registry.
fn named<T>(
    kwargs: &Kwargs<'_>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, Error>,
) -> PyResult<Option<T>> {
    let text = kwargs.text(name)?;
    text.map(|text| parsed(name, &text, parse(&text))).transpose()
}

/// Completes the strategy by a schedule and a reviser beside it.
fn strategy(
    sampling: &Sampling,
    line: Option<&Line>,
    schedule: Option<ScheduleSpec>,
    reviser: Option<ReviserSpec>,
) -> PyResult<(UnmaskerSpec, ScheduleSpec, Option<ReviserSpec>)> {
    let own_schedule = line.and_then(Line::schedule);
    let own_reviser = line.and_then(Line::reviser);
    if let (Some(schedule), Some(own)) = (&schedule, own_schedule) {
        let reason = format!("the strategy has a schedule, '{own}': leave one of them out");
        return Err(invalid("schedule", &schedule.to_string(), &reason));
    }
    if let (Some(reviser), Some(own)) = (&reviser, own_reviser) {
        let reason = format!("the strategy has a reviser, '{own}': leave one of them out");
        return Err(invalid("revise", &reviser.to_string(), &reason));
    }
    let parts = (
        line.map(Line::unmasker),
        schedule.as_ref().or(own_schedule),
        reviser.as_ref().or(own_reviser),
    );
    sampling.strategy(registry(), parts).map_err(exception)
}

fn sampling(kwargs: &Kwargs<'_>, cache: Option<&CacheSpec>) -> PyResult<Sampling> {
    let default = Sampling::default();
    Ok(Sampling {
        order: named(kwargs, "order", |text| registry().order(text))?,
        order_temperature: kwargs.number("order_temperature")?,
        block_length: kwargs.count("block_length")?,
        open_next_block: kwargs.number("open_next_block")?,
        filters: filters(kwargs)?,
        cfg_scale: kwargs.number("cfg_scale")?.unwrap_or(default.cfg_scale),
        sampler: kwargs.path("sampler")?,
        cache: cache.cloned(),
        scorer: named(kwargs, "scorer", str::parse::<ScorerSpec>)?,
        stops: stops(kwargs)?,
        batch_size: kwargs.count("batch_size")?.unwrap_or(default.batch_size),
    })
}

fn filters(kwargs: &Kwargs<'_>) -> PyResult<Filters> {
    let default = Filters::default();
    let ban = kwargs.words("ban")?;
    let parse = |word: &Word| {
        let text = word.to_string();
        parsed("ban", &text, text.parse())
    };
    Ok(Filters {
        temperature: kwargs.number("temperature")?.unwrap_or(default.temperature),
        top_k: kwargs.count("top_k")?,
        top_p: kwargs.number("top_p")?,
        min_p: kwargs.number("min_p")?,
        // An empty list bans nothing.
        no_ban: ban.as_ref().is_some_and(Vec::is_empty),
        ban: match ban {
            None => default.ban,
            Some(words) => words.iter().map(parse).collect::<PyResult<_>>()?,
        },
        eos_penalty: kwargs.number("eos_penalty")?,
        min_length: kwargs.count("min_length")?,
        repetition_penalty: kwargs.number("repetition_penalty")?,
    })
}

fn stops(kwargs: &Kwargs<'_>) -> PyResult<Stops> {
    let eos = kwargs.words("eos")?.unwrap_or_default();
    let eos = eos.into_iter().map(|word| token_name("eos", word)).collect::<PyResult<_>>()?;
    let texts = kwargs.words("stop")?.unwrap_or_default();
    Ok(Stops {
        at_eos: kwargs.flag("stop_at_eos")?.unwrap_or(false),
        eos,
        tokens: Vec::new(),
        texts: texts.iter().map(Word::to_string).collect(),
    })
}

/// A token by its id or by its text, for the argument `name`.
pub fn token_name(name: &str, word: Word) -> PyResult<TokenName> {
    match word {
        Word::Text(text) => Ok(TokenName::Text(text)),
        Word::Number(id) => match TokenId::try_from(id) {
            Ok(id) => Ok(TokenName::Id(id)),
            Err(_) => Err(invalid(name, &id.to_string(), "expected a token id or a token")),
        },
    }
}
