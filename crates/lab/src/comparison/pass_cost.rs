use std::time::{Duration, Instant};

use conjoint::RowId;
use conjoint::prelude::*;
use conjoint_eval::{Bootstrap, Measured, sampler_cost};

use crate::Error;
use crate::progress::Progress;

/// Pairs that warm up caches and the runtime's memory, and are not counted.
const WARM_UP: usize = 2;
/// Pairs between two looks at the interval; also the fewest that make a figure.
const PAIRS: usize = 10;
/// An interval within this share of the cost is good enough to stop.
const NARROW: f64 = 0.05;
/// When to stop even so.
const LONGEST: Duration = Duration::from_secs(10);

/// What a pass of the layer costs in forwards of the model, over a batch of these canvases and all of
/// their masked rows: forwards and passes in turn, until the interval is narrow.
pub(super) fn measure(
    model: &impl Denoiser,
    layer: &impl SamplerLayer,
    canvases: &[Canvas],
    progress: &dyn Progress,
) -> Result<Measured, Error> {
    let batch: Vec<&Canvas> = canvases.iter().take(16).collect();
    let rows = |(sequence, canvas): (usize, &&Canvas)| {
        let rows = canvas.masked().map(move |position| RowId { sequence, position });
        rows.collect::<Vec<_>>()
    };
    let rows: Vec<RowId> = batch.iter().enumerate().flat_map(rows).collect();
    let bar = progress.working("cost of a sampler pass");
    let pair = || -> Result<(f64, f64), Error> {
        let start = Instant::now();
        let (_, mut state) = model.denoise(&batch, &rows)?;
        let forward = start.elapsed();
        let start = Instant::now();
        layer.refine(&mut state, &batch, &rows)?;
        Ok((start.elapsed().as_secs_f64(), forward.as_secs_f64()))
    };
    for _ in 0..WARM_UP {
        pair()?;
    }
    let (begun, mut pairs) = (Instant::now(), Vec::new());
    loop {
        for _ in 0..PAIRS {
            pairs.push(pair()?);
        }
        let cost = sampler_cost(&pairs, &Bootstrap::new(0))?;
        if !cost.is_wider_than(NARROW) || begun.elapsed() > LONGEST {
            drop(bar);
            return Ok(cost);
        }
    }
}
