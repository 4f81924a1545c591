use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint_eval::Settings;
use conjoint_trajectory::digest;

use super::texts::Beginning;
use super::{Comparison, Metric};
use crate::Error;
use crate::model::{self, Model};

/// Everything that a comparison will run. Making the plan finds invalid settings before the first point runs and before the
/// folder is claimed.
pub(super) struct Plan {
    /// The beginnings of seed 0. They identify the folder, because more seeds may be added later.
    pub beginnings: Vec<Beginning>,
    /// The canvases of seed 0.
    pub any: Vec<Canvas>,
    /// The canvases of each seed of the comparison.
    pub canvases: Vec<Vec<Canvas>>,
    pub points: Vec<PlannedPoint>,
}

/// A strategy at one setting.
pub(super) struct PlannedPoint {
    pub strategy: String,
    pub parameter: String,
    /// The generator for texts of each length: a total of steps depends on it.
    pub generators: BTreeMap<usize, Generator>,
}

impl Plan {
    pub fn new(comparison: &Comparison, model: &Arc<Model>) -> Result<Self, Error> {
        let Comparison { texts, num_samples, seeds, .. } = comparison;
        let n = *num_samples as usize;
        let seeds: Vec<u64> = [&[0], &seeds[..]].concat();
        let mut beginnings = texts.beginnings(model, n, &seeds)?;
        let canvases = beginnings.iter().map(|of| texts.canvases(model, of, n));
        let mut canvases = canvases.collect::<Result<Vec<_>, _>>()?;
        let (beginnings, any) = (beginnings.swap_remove(0), canvases.remove(0));
        comparison.sampling.passes(model)?;
        let points = points(comparison, model, canvases.iter().flatten())?;
        Ok(Self { beginnings, any, canvases, points })
    }

    /// The settings that identify a comparison. A folder with other settings is not resumed.
    pub fn settings(&self, comparison: &Comparison, model: &Model) -> Result<Settings, Error> {
        let Comparison { sampling, metrics, .. } = comparison;
        let scorer = sampling.scorer.as_ref().map(|name| name.checksum("scorer")).transpose()?;
        let settings = [
            ("weights", model.weights()),
            ("sampler", model::weights_of(sampling.sampler.as_deref())?),
            ("scorers' files", scorer.unwrap_or_default()),
            ("order's file", sampling.order_checksum()?.unwrap_or_default()),
            ("head", model.options().head.to_string()),
            ("length", self.any[0].free_span().len().to_string()),
            ("texts", comparison.num_samples.to_string()),
            ("prompts", digest(self.beginnings.iter().map(Beginning::tokens))),
            ("sampling", sampling.description()),
            ("beginnings", comparison.texts.description().to_owned()),
            ("figures", format!("{metrics:?}")),
        ];
        let judged = metrics.contains(&Metric::ExternalNll);
        let judge = judged.then(|| comparison.external.description()).transpose()?;
        let checked = metrics.iter().any(|metric| metric.checks_corpus());
        let checks = checked.then(|| ("checks", conjoint_corpus::VERSION.to_string()));
        let judge = judge.map(|description| ("external", description));
        // Omitted by default, so that folders of earlier versions can be resumed.
        let packed = comparison.texts.packed.then(|| ("packed", "true".to_owned()));
        let settings = settings.into_iter().chain(judge).chain(checks).chain(packed);
        Ok(settings.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Every line with each of its settings.
fn points<'c>(
    comparison: &Comparison,
    model: &Arc<Model>,
    canvases: impl Iterator<Item = &'c Canvas>,
) -> Result<Vec<PlannedPoint>, Error> {
    let Comparison { lines, sampling, .. } = comparison;
    let mut by_length: BTreeMap<usize, Vec<Canvas>> = BTreeMap::new();
    for canvas in canvases {
        by_length.entry(canvas.free_span().len()).or_default().push(canvas.clone());
    }
    // Texts of all lengths share forwards, so their generators have one base for each cache.
    let mut bases: BTreeMap<Option<String>, Generator> = BTreeMap::new();
    let mut points: Vec<PlannedPoint> = Vec::new();
    for (length, canvases) in by_length {
        for (place, (line, setting)) in lines.points(length)?.into_iter().enumerate() {
            let schedule = setting.schedule();
            let made = (line.unmasker(), schedule, line.reviser());
            let base = match bases.entry(line.cache().map(ToString::to_string)) {
                Entry::Occupied(base) => base.into_mut(),
                Entry::Vacant(place) => place.insert(sampling.base(model, line.cache())?),
            };
            let generator = sampling.on(base.clone(), model, made, |strategy| strategy)?;
            let named = || ("strategies", format!("{} {schedule}", line.name()));
            generator.check(&canvases).map_err(|error| sampling.explain(named(), error))?;
            if points.len() == place {
                let (strategy, parameter) = (line.name(), setting.name().to_owned());
                points.push(PlannedPoint { strategy, parameter, generators: BTreeMap::new() });
            }
            points[place].generators.insert(length, generator);
        }
    }
    Ok(points)
}
