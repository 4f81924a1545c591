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
use crate::error::refused;
use crate::model::Model;
use crate::progress::{Progress, masked};

/// Runs a comparison that has been checked.
pub(super) fn run(
    comparison: &Comparison,
    model: &Arc<Model>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let plan = Plan::new(comparison, model)?;
    let metrics = fitting::metrics(comparison, model, plan.prompts(), progress)?;
    let comparison = &Comparison { metrics, ..comparison.clone() };
    let Comparison { sampling, metrics, external, .. } = comparison;
    let mut judge = Judge::new(model, sampling, metrics, external, progress)?;
    let settings = plan.settings(comparison, model)?;
    let collection = refused("out", out.display(), Collection::open(out, &settings))?;
    let mut keys = Vec::new();
    for (&seed, canvases) in comparison.seeds.iter().zip(&plan.canvases) {
        for planned in &plan.points {
            let (strategy, parameter) = (planned.strategy.clone(), planned.parameter.clone());
            let key = Key { strategy, parameter, seed };
            if keys.contains(&key) {
                continue;
            }
            collection.point(&key, || {
                let (start, spent) = (Instant::now(), model.denoiser.stats());
                let outputs = outputs(&planned.generators, &key, canvases, progress);
                let named = || ("strategies", format!("{} {}", key.strategy, key.parameter));
                let outputs = outputs.map_err(|error| sampling.explain(named(), error))?;
                let seconds = start.elapsed().as_secs_f64();
                let spent = model.denoiser.stats() - spent;
                let time = |calls: Calls| calls.hidden + calls.head;
                let cost = Cost::measured(&outputs, time(spent.forwards), time(spent.passes));
                let drawn = Drawn { seed, canvases, outputs: &outputs };
                point(&key, drawn, seconds, cost, &mut judge)
            })?;
            keys.push(key);
            // Whoever watches the folder sees the report grow.
            folder::write_report(out, &collection.report(&keys)?)?;
        }
    }
    Ok(collection.report(&keys)?)
}

/// The texts of a point.
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

/// What a point is called beside its progress.
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
