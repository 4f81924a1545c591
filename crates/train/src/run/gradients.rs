//! The loss and gradients of a batch, computed in parallel.

use std::ops::Range;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;

use super::devices::Devices;
use super::objective::Objective;
use super::options::RunOptions;
use super::position::Position;
use super::threads;
use crate::error::TrainError;

/// The loss and gradients of one batch. Each worker differentiates its own copy of the module on its own rows. The parts
/// are summed in the workers' order, so that the sum does not depend on timing.
pub(crate) fn gradients<M: Module + Sync>(
    module: &M,
    objective: &impl Objective<M>,
    position: &Position,
    progress: f64,
    options: &RunOptions,
    devices: &Devices,
) -> Result<(f64, GradientsParams), TrainError> {
    let (batch, workers) = (options.batch, options.workers);
    let most = options.micro_batch.unwrap_or(batch);
    let pass = |device: &Device, rows| -> Result<(f64, GradientsParams), TrainError> {
        // A copy with its own leaves: graphs that share leaves would block each other.
        let module = module.clone().fork(&device.clone().autodiff());
        let loss = objective.loss(&module, position.step, progress, rows)?;
        let value = loss.clone().into_scalar::<f32>();
        Ok((f64::from(value), GradientsParams::from_grads(loss.backward(), &module)))
    };
    let worker = |(device, rows): (&Device, Range<usize>)| {
        let lows = rows.clone().step_by(most);
        let parts = lows.map(|low| pass(device, low..(low + most).min(rows.end)));
        let (loss, gradients) = add_up(module, parts)?;
        Ok((loss, gradients.to_device(&devices.first, module)))
    };
    let rows = |w: usize| w * batch / workers..(w + 1) * batch / workers;
    let shares = (0..workers).map(|w| (devices.of(w), rows(w)));
    let parts = threads::map(shares.collect(), worker)?;
    add_up(module, parts.into_iter())
}

/// Sums losses and gradients, in order.
fn add_up<M: Module>(
    module: &M,
    parts: impl Iterator<Item = Result<(f64, GradientsParams), TrainError>>,
) -> Result<(f64, GradientsParams), TrainError> {
    let mut total = 0.0;
    let mut sum = GradientsAccumulator::<M>::new();
    for part in parts {
        let (loss, gradients) = part?;
        total += loss;
        sum.accumulate(module, gradients);
    }
    Ok((total, sum.grads()))
}
