//! Names of strategies, schedules, revisers, orders, caches and metrics as values of flags.

use std::sync::LazyLock;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use conjoint_corpus::Domain;
use conjoint_lab::Registry;
use conjoint_lab::comparison::Metric;
use conjoint_lab::random_model::Storage;
use conjoint_lab::registry::{
    CacheSpec, Line, OrderSpec, PRESETS, Preset, ReviserSpec, ScheduleSpec, UnmaskerSpec,
};

use crate::flag::value;

/// The registry of the command: the built-in one.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);
    &REGISTRY
}

/// Parses a strategy.
pub fn unmasker(text: &str) -> Result<UnmaskerSpec, String> {
    value(text, registry().unmasker(text))
}

/// Parses a schedule.
pub fn schedule(text: &str) -> Result<ScheduleSpec, String> {
    value(text, registry().schedule(text))
}

/// Parses a reviser.
pub fn reviser(text: &str) -> Result<ReviserSpec, String> {
    value(text, registry().reviser(text))
}

/// Parses an order.
pub fn order(text: &str) -> Result<OrderSpec, String> {
    value(text, registry().order(text))
}

/// Parses a cache.
pub fn cache(text: &str) -> Result<CacheSpec, String> {
    value(text, registry().cache(text))
}

/// Parses a line of a comparison.
pub fn line(text: &str) -> Result<Line, String> {
    value(text, registry().line(text))
}

/// Parses a domain of the corpus.
pub fn domain(text: &str) -> Result<Domain, String> {
    text.parse().map_err(|_| "expected story, math, code or list".to_owned())
}

/// Parses a preset; each has its help.
pub fn preset() -> impl TypedValueParser<Value = Line> {
    let value = |preset: Preset| {
        PossibleValue::new(preset.name).help(format!("{}: {}", preset.about, preset.line))
    };
    PossibleValuesParser::new(PRESETS.map(value)).try_map(|name| registry().line(&name))
}

/// Parses a metric; each has its help.
pub fn metric() -> impl TypedValueParser<Value = Metric> {
    let help = |metric| match metric {
        Metric::Right => {
            "Share of texts that pass the checks of the built-in corpus, over all and by domain. Left out for other texts"
        }
        Metric::Parses => {
            "Share of texts that parse. Left out for texts outside of the built-in corpus"
        }
        Metric::Diversity => "Share of distinct texts, and the entropy of their words in nats",
        Metric::Nll => {
            "Negative log-likelihood under the model's own one-at-a-time path, in nats per token. With --stop-at-eos it is \
             that of the padded text, which was not drawn in this way"
        }
        Metric::ExternalNll => {
            "Negative log-likelihood under the language model of --external, in nats per token of its own"
        }
        Metric::Mauve => {
            "MAUVE against one-at-a-time samples, on mean final hidden states of the frozen model"
        }
        Metric::MauveSurprise => {
            "MAUVE against one-at-a-time samples, on the surprise of the frozen model at each token given the others. It \
             detects tokens that do not fit together, which hidden states hardly show"
        }
        Metric::Neighbours => {
            "Divergence of pairs of neighbouring tokens from those of one-at-a-time samples, in nats"
        }
    };
    let value = |metric: Metric| PossibleValue::new(metric.name()).help(help(metric));
    PossibleValuesParser::new(Metric::ALL.map(value)).try_map(|name| name.parse::<Metric>())
}

/// Parses the number format of stored weights.
pub fn storage() -> impl TypedValueParser<Value = Storage> {
    PossibleValuesParser::new(Storage::ALL.map(Storage::name))
        .try_map(|name| name.parse::<Storage>())
}
