//! Names of strategies, schedules, revisers, orders and metrics as values of flags.

use std::sync::LazyLock;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use conjoint_lab::comparison::Metric;
use conjoint_lab::random_model::Storage;
use conjoint_lab::registry::{
    Line, OrderSpec, PRESETS, Preset, ReviserSpec, ScheduleSpec, UnmaskerSpec,
};
use conjoint_lab::{Error, Registry};

/// All that the command can name.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);
    &REGISTRY
}

/// A strategy.
pub fn unmasker(text: &str) -> Result<UnmaskerSpec, Error> {
    registry().unmasker(text)
}

/// A schedule.
pub fn schedule(text: &str) -> Result<ScheduleSpec, Error> {
    registry().schedule(text)
}

/// A reviser.
pub fn reviser(text: &str) -> Result<ReviserSpec, Error> {
    registry().reviser(text)
}

/// An order.
pub fn order(text: &str) -> Result<OrderSpec, Error> {
    registry().order(text)
}

/// A line of a comparison.
pub fn line(text: &str) -> Result<Line, Error> {
    registry().line(text)
}

/// A preset, with help for each.
pub fn preset() -> impl TypedValueParser<Value = Line> {
    let value = |preset: Preset| {
        PossibleValue::new(preset.name).help(format!("{}: {}", preset.about, preset.line))
    };
    PossibleValuesParser::new(PRESETS.map(value)).try_map(|name| line(&name))
}

/// A metric, with help for each.
pub fn metric() -> impl TypedValueParser<Value = Metric> {
    let help = |metric| match metric {
        Metric::Right => {
            "Share of texts that pass the corpus' own checks, over all and by domain; left out for other texts"
        }
        Metric::Parses => {
            "Share of texts that at least parse; left out for texts that are none of the corpus"
        }
        Metric::Diversity => "how many texts are distinct, and the entropy of their words",
        Metric::Nll => {
            "Negative log-likelihood under the model's own one-at-a-time path, nats a token; with --stop-at-eos that of \
             the padded text, which is not how it was drawn"
        }
        Metric::ExternalNll => {
            "Negative log-likelihood under the language model of --external, nats a token of its own"
        }
        Metric::Mauve => {
            "MAUVE against one-at-a-time samples, on mean final hidden states of the frozen model"
        }
        Metric::MauveSurprise => {
            "MAUVE against the same on how improbable each token is to the frozen model given the others: sees what the \
             hidden states hardly do, that tokens do not go together"
        }
        Metric::Neighbours => {
            "Divergence of neighbouring tokens from those of one-at-a-time samples, nats"
        }
    };
    let value = |metric: Metric| PossibleValue::new(metric.name()).help(help(metric));
    PossibleValuesParser::new(Metric::ALL.map(value)).try_map(|name| name.parse::<Metric>())
}

/// How weights are stored.
pub fn storage() -> impl TypedValueParser<Value = Storage> {
    PossibleValuesParser::new(Storage::ALL.map(Storage::name))
        .try_map(|name| name.parse::<Storage>())
}
