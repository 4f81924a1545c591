//! The training loop: data-parallel steps, averaged weights, validation, checkpoints and resuming.
//!
//! `base/loop_tests.rs` tests it, on a tiny base model.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::Module;
use conjoint_format::WeightFile;
use serde_json::Value;

use super::devices::Devices;
use super::gradients::gradients;
use super::identity::claim;
use super::lock::lock;
use super::log::{Log, Record};
use super::objective::Objective;
use super::options::RunOptions;
use super::params;
use super::progress::Progress;
use super::state;
use crate::error::TrainError;

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunSummary {
    /// The number of steps, including those before a resume.
    pub steps: u64,
    /// The number of training tokens.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The running mean of the training loss over the last steps, in nats.
    pub loss: f64,
    /// The validated figures of the saved model by name, in nats unless the name implies otherwise. The saved model is
    /// the last one, or with [`RunOptions::patience`] the best.
    pub validation: BTreeMap<String, f64>,
}

/// Trains `module`, or resumes the run in `options.dir`. `module` holds the first weights, on the first of `devices`,
/// with autodiff.
pub(crate) fn train<M: Module + Sync>(
    module: M,
    objective: &impl Objective<M>,
    options: &RunOptions,
    devices: &Devices,
) -> Result<RunSummary, TrainError> {
    options.validate()?;
    std::fs::create_dir_all(&options.dir).map_err(TrainError::io("create", &options.dir))?;
    state::check_folder(&options.dir)?;
    let mut identity = objective.identity();
    if let Some(weights) = &options.init {
        let file =
            WeightFile::of(weights, String::new()).map_err(TrainError::checkpoint(weights))?;
        identity.insert("init".into(), file.sha256);
    }
    let path = options.dir.join("options.json");
    claim(&path, &identity)?;
    let _locked = lock(&path)?;
    let mut run = state::restore(state::Run::new(module, options.optimizer), &options.dir)?;
    let malformed = |e| TrainError::malformed(state::carried_path(&options.dir), e);
    if run.carried != Value::Null {
        objective.carry_on(run.carried.take()).map_err(malformed)?;
    }
    let mut log = Log::open(&options.dir, run.position.step)?;
    let mut progress = Progress::new(options, &run.position);
    let mut validation = BTreeMap::new();
    let mut saved = run.position.seconds;
    while !options.is_spent(&run.position) {
        let clock = Instant::now();
        let fraction = options.fraction(&run.position);
        let factor = options.optimizer.factor(run.position.step, fraction);
        let (loss, gradients) =
            gradients(&run.module, objective, &run.position, fraction, options, devices)?;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step: run.position.step, loss });
        }
        run.module = run.optimizer.step(run.module, gradients, factor, options.workers)?;
        // A faster decay early in the run forgets the random first weights.
        let age = run.position.step as f64;
        let decay = options.average_decay.min((1.0 + age) / (10.0 + age));
        run.averaged = params::average(run.averaged, &run.module, decay);
        run.position.advance(loss, clock.elapsed().as_secs_f64());

        let due = options.is_spent(&run.position) || options.is_checkpoint(&run.position, saved);
        let mut better = false;
        if due {
            validation = objective.validate(&run.averaged)?;
            better = run.position.judge(objective.score(&validation), &validation);
        }
        let position = run.position.clone();
        if due || position.step % options.log_every.max(1) == 0 {
            let tokens = position.step * objective.tokens_per_step();
            log.write(&Record::new(
                &position,
                tokens,
                loss,
                factor,
                if due { &validation } else { const { &BTreeMap::new() } },
            ))?;
        }
        let fraction = options.fraction(&position);
        progress.update(&position, loss, objective.tokens_per_step(), fraction);
        if due {
            // The model is saved first: a run killed in between repeats the steps since the last checkpoint.
            if better || options.patience.is_none() {
                objective.save(&run.averaged)?;
            }
            run.carried = objective.carried().map_err(malformed)?;
            state::save(&run, &options.dir)?;
            log.plot(|figure| objective.is_plotted(figure))?;
            progress.report(&position, &validation);
            saved = position.seconds;
        }
    }
    let position = run.position;
    if options.patience.is_some() && !position.validation.is_empty() {
        validation = position.validation;
    } else if validation.is_empty() {
        validation = objective.validate(&run.averaged)?;
    }
    let tokens = position.step * objective.tokens_per_step();
    Ok(RunSummary {
        steps: position.step,
        tokens,
        seconds: position.seconds,
        loss: position.mean_loss,
        validation,
    })
}
