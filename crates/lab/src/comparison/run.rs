use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use conjoint::Calls;
use conjoint::prelude::*;
use conjoint_eval::{Collection, Cost, Key, Point, Report};

use super::judge::{Drawn, Judge};
use super::plan::Plan;
use super::{Comparison, fitting, folder};
use crate::Error;
use crate::error::for_parameter;
use crate::model::Model;
use crate::progress::{Progress, masked};

impl Comparison {
    /// Runs every line at each of its settings and seeds, and writes `report.json`, `report.md`, an SVG for each metric, and
    /// the texts of each point ([`Collection::texts`]) into the folder `out`.
    ///
    /// Metrics that do not apply to the texts are left out. A comparison found in the folder is resumed.
    ///
    /// # Errors
    /// Those of [`check`](Self::check). [`Error::Parameter`] for `out` if the folder belongs to a comparison with other
    /// settings, and for `metrics` if none applies. The errors of the strategies, the model and the metrics.
    pub fn run(
        &self,
        model: &Arc<Model>,
        out: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<Report, Error> {
        self.check()?;
        run(self, model, out.as_ref(), progress)
    }
}

/// Runs a comparison that has been checked.
fn run(
    comparison: &Comparison,
    model: &Arc<Model>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let plan = Plan::new(comparison, model)?;
    let metrics = fitting::metrics(comparison, model, &plan.beginnings, progress)?;
    let comparison = &Comparison { metrics, ..comparison.clone() };
    let sampling = &comparison.sampling;
    let mut judge = Judge::new(model, comparison, progress)?;
    let settings = plan.settings(comparison, model)?;
    let collection = for_parameter("out", out.display(), Collection::open(out, &settings))?;
    let mut keys = Vec::new();
    for (&seed, canvases) in comparison.seeds.iter().zip(&plan.canvases) {
        for planned in &plan.points {
            let (strategy, parameter) = (planned.strategy.clone(), planned.parameter.clone());
            let key = Key { strategy, parameter, seed };
            if keys.contains(&key) {
                continue;
            }
            collection.point(&key, || {
                let (start, before) = (Instant::now(), model.denoiser.stats());
                let outputs = outputs(&planned.generators, &key, canvases, progress);
                let named = || ("strategies", format!("{} {}", key.strategy, key.parameter));
                let outputs = outputs.map_err(|error| sampling.explain(named(), error))?;
                let seconds = start.elapsed().as_secs_f64();
                let stats = model.denoiser.stats() - before;
                let time = |calls: Calls| calls.hidden + calls.head;
                let cost = Cost::measured(&outputs, time(stats.forwards), time(stats.passes));
                let drawn = Drawn { seed, canvases, outputs: &outputs };
                folder::write_texts(&collection.texts(&key), model, &outputs)?;
                point(&key, drawn, seconds, cost, &mut judge)
            })?;
            keys.push(key);
            // The report on disk grows with every point.
            folder::write_report(out, &collection.report(&keys)?)?;
        }
    }
    Ok(collection.report(&keys)?)
}

/// Generates the texts of a point.
fn outputs(
    generators: &BTreeMap<usize, Generator>,
    key: &Key,
    canvases: &[Canvas],
    progress: &dyn Progress,
) -> Result<Vec<Output>, conjoint::Error> {
    let mut bar = progress.generating(&name(key), masked(canvases));
    let seeded: BTreeMap<usize, Generator> =
        generators.iter().map(|(&length, each)| (length, each.clone().seed(key.seed))).collect();
    let request = |canvas: &Canvas| {
        let generator = &seeded[&canvas.free_span().len()];
        (canvas.clone(), generator.clone())
    };
    let Some(first) = seeded.values().next() else { return Ok(Vec::new()) };
    first.run_each(canvases.iter().map(request).collect(), &mut *bar)
}

/// The name of a point beside its progress bar.
fn name(key: &Key) -> String {
    format!("{} {}, seed {}", key.strategy, key.parameter, key.seed)
}

fn point(
    key: &Key,
    drawn: Drawn<'_>,
    seconds: f64,
    cost: Cost,
    judge: &mut Judge<'_>,
) -> Result<Point, Error> {
    let outputs = drawn.outputs;
    let metrics = judge.figures(drawn, &name(key))?;
    Ok(Point {
        strategy: key.strategy.clone(),
        parameter: key.parameter.clone(),
        seed: key.seed,
        texts: outputs.len() as u64,
        tokens: outputs.iter().map(|output| output.drawn as u64).sum(),
        cost,
        seconds,
        metrics,
    })
}
