use std::sync::Arc;
use std::time::Instant;

use conjoint::prelude::*;
use conjoint::product_rate;

use super::report::{Repeat, Run, median};
use super::{Bench, Stopwatch};
use crate::Error;
use crate::comparison::Setting;
use crate::model::Model;
use crate::progress::Progress;
use crate::registry::Line;

/// Measures one strategy at one setting.
pub(super) fn measure(
    bench: &Bench,
    model: &Arc<Model>,
    canvases: &[Canvas],
    (line, setting): (&Line, &Setting),
    progress: &dyn Progress,
) -> Result<Run, Error> {
    let (strategy, setting_name) = (line.name(), setting.name().to_owned());
    let watch = Stopwatch::default();
    let (unmasker, schedule) = (line.unmasker(), setting.schedule());
    let sampling = &bench.sampling;
    let made = (unmasker, schedule, line.reviser());
    let around = |strategy| watch.around(strategy);
    let generator = sampling.on(sampling.base(model, line.cache())?, model, made, around)?;
    let generator = generator.seed(bench.seed);
    let bar = progress.working(&format!("{strategy} {setting_name}"));
    let repeat = || -> Result<(Repeat, Vec<Output>), Error> {
        let (canvases, mut observer) = (canvases.to_vec(), watch.clone());
        let (stats, host, start) = (model.denoiser.stats(), watch.read(), Instant::now());
        let outputs = generator.run(canvases, &mut observer);
        let time = start.elapsed();
        let named = || ("strategies", format!("{strategy} {schedule}"));
        let outputs = outputs.map_err(|error| sampling.explain(named(), error))?;
        let (stats, host) = (model.denoiser.stats() - stats, watch.read() - host);
        Ok((Repeat { time, stats, host }, outputs))
    };
    let (_, outputs) = repeat()?;
    let repeats = (0..bench.repeats).map(|_| Ok(repeat()?.0)).collect::<Result<Vec<_>, Error>>()?;
    drop(bar);
    let middle = median(&repeats).ok_or(Error::Lacking("expected at least one repeat"))?;
    let tokens = outputs.iter().map(|output| output.drawn).sum();
    let seconds = middle.time.as_secs_f64();
    let (rows_per_forward, rows_per_pass) = middle.rows();
    let manifest = model.denoiser.manifest();
    let rows = (rows_per_forward.round() as usize).max(1);
    let limit = product_rate(model.runtime(), [rows, manifest.hidden_size, manifest.ffn_size])?;
    let products = manifest.products(&model.options().folder)?;
    Ok(Run {
        strategy,
        setting: setting_name,
        cache: sampling.cache_name(model, line.cache()),
        rows_per_forward,
        rows_per_pass,
        gflops: middle.gflops(products.backbone),
        gflops_of_product: limit / 1e9,
        tokens,
        tokens_per_second: tokens as f64 / seconds,
        forwards: middle.stats.forwards.calls,
        sampler_passes: middle.stats.passes.calls,
        seconds,
        all_seconds: repeats.iter().map(|repeat| repeat.time.as_secs_f64()).collect(),
        step: middle.step(),
        pass_per_forward: middle.pass_per_forward(),
        outside: middle.host_share(),
        sequences: outputs.into_iter().map(|output| output.tokens).collect(),
    })
}
