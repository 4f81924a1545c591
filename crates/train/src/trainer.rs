//! The training loop: data-parallel steps, averaged weights, validation, checkpoints and resuming.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use conjoint_export::WeightFile;
use serde_json::Value;

use crate::TrainError;
use crate::devices::Devices;
use crate::identity::{Identity, claim};
use crate::log::{Log, Record};
use crate::options::RunOptions;
use crate::params;
use crate::progress::Progress;
use crate::state::{self, Position};
use crate::threads;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Steps taken, those before a resume included.
    pub steps: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Seconds spent training.
    pub seconds: f64,
    /// The training loss of the last steps, a running mean, in nats.
    pub loss: f64,
    /// The validation of the model that was kept, by name, in nats unless the name says otherwise: the last one, or
    /// with [`RunOptions::patience`] the best.
    pub validation: BTreeMap<String, f64>,
}

/// What is being trained: a loss over rows drawn by step, a validation, and a way to save.
pub(crate) trait Objective<M>: Sync {
    /// The part of the loss of step `step` that its batch's rows `rows` contribute. The parts of one batch
    /// add up to its loss. `progress` is the share of the budget used.
    fn loss(
        &self,
        module: &M,
        step: u64,
        progress: f64,
        rows: Range<usize>,
    ) -> Result<Tensor<1>, TrainError>;
    /// Named figures of the averaged weights on held-out rows.
    fn validate(&self, averaged: &M) -> Result<BTreeMap<String, f64>, TrainError>;
    /// Writes the averaged weights as a usable model.
    fn save(&self, averaged: &M) -> Result<(), TrainError>;
    /// Tokens in one step.
    fn tokens_per_step(&self) -> u64;
    /// Whether a validated figure belongs into the plot of losses, in nats.
    fn is_plotted(&self, _figure: &str) -> bool {
        true
    }
    /// What may not change when a run is continued. Budgets, rates and the batch may.
    fn identity(&self) -> Identity;
    /// What it remembers from one step to the next, beside the weights; kept with each checkpoint.
    fn carried(&self) -> Result<Value, serde_json::Error> {
        Ok(Value::Null)
    }
    /// Goes on with what it remembered at a checkpoint.
    fn carry_on(&self, _carried: Value) -> Result<(), serde_json::Error> {
        Ok(())
    }
    /// Whether a validated figure counts in the score.
    fn is_headline(&self, _figure: &str) -> bool {
        true
    }
    /// What a validation is judged by, lower being better: the mean of its headline figures.
    fn score(&self, validation: &BTreeMap<String, f64>) -> f64 {
        let figures = || validation.iter().filter(|(name, _)| self.is_headline(name));
        figures().map(|(_, value)| value).sum::<f64>() / figures().count().max(1) as f64
    }
}

/// Trains `module` (its first weights, on the first of `devices`, with autodiff), or continues where `options.dir`
/// left off.
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
        identity.insert("init".into(), WeightFile::of(weights, String::new())?.sha256);
    }
    claim(&options.dir.join("options.json"), &identity)?;
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
        // Early on, the average forgets the random start faster.
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
            // The model first: a run killed in between repeats the steps since the last checkpoint.
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

/// The loss and gradients of one batch: each worker differentiates its own copy of the module on
/// its own rows; the parts are added in the workers' order, so that the sum never depends on timing.
fn gradients<M: Module + Sync>(
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
        // A copy with leaves of its own: graphs that share leaves would wait for each other.
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

/// The sums of losses and of gradients, in order.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::{BaseOptions, HELD_OUT, train_on};
    use crate::testing::{letter_tokenizer, letters, losses, tiny_run};

    #[test]
    fn a_killed_and_resumed_run_is_the_same_run() {
        is_the_same_when_killed(0.0);
    }

    #[test]
    fn a_killed_run_remembers_how_far_its_progressive_rows_were() {
        is_the_same_when_killed(0.5);
    }

    fn is_the_same_when_killed(progressive_share: f64) {
        let run = |dir: &Path| BaseOptions {
            progressive_share,
            progressive_turns: 3,
            ..tiny_run(dir, 20)
        };
        let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = train_on(&letters, &letter_tokenizer(), &run(straight.path())).unwrap();
        let mut killed = run(broken.path());
        killed.run.checkpoint_minutes = 0.0;
        let dies = |index: u64| match index {
            60..HELD_OUT => Err(TrainError::Row { row: index, reason: "killed".into() }),
            _ => letters(index),
        };
        assert!(matches!(
            train_on(&dies, &letter_tokenizer(), &killed),
            Err(TrainError::Row { row: 60.., .. })
        ));
        assert_eq!(losses(broken.path()).len(), 10);
        // The number of threads may change too.
        killed.run.workers = 3;
        let resumed = train_on(&letters, &letter_tokenizer(), &killed).unwrap();
        let (straight, broken) = (losses(straight.path()), losses(broken.path()));
        assert_eq!(straight.len(), broken.len());
        assert!(straight.iter().zip(&broken).all(|(a, b)| (a - b).abs() < 1e-4));
        assert_eq!(whole.tokens, resumed.tokens);
        for (name, value) in &whole.validation {
            assert!((value - resumed.validation[name]).abs() < 1e-4);
        }
    }

    #[test]
    fn a_checkpoint_of_other_sizes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let small = tiny_run(dir.path(), 2);
        train_on(&letters, &letter_tokenizer(), &small).unwrap();
        let large = BaseOptions { intermediate_size: 32, ..small };
        let refused = train_on(&letters, &letter_tokenizer(), &large);
        assert!(matches!(refused, Err(TrainError::OtherOptions { .. })), "{refused:?}");
    }

    #[test]
    fn a_finished_run_is_not_trained_further() {
        let dir = tempfile::tempdir().unwrap();
        let first = train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 3)).unwrap();
        let again = train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 3)).unwrap();
        assert_eq!(first.steps, again.steps);
        // Numbers in JSON are read back to within their last digit.
        assert!((first.loss - again.loss).abs() < 1e-9, "{} {}", first.loss, again.loss);
        assert_eq!(losses(dir.path()).len(), 3);
    }

    #[test]
    fn a_batch_in_small_passes_is_the_same_batch() {
        let run = |micro_batch, workers| {
            let dir = tempfile::tempdir().unwrap();
            let mut options = tiny_run(dir.path(), 3);
            (options.run.micro_batch, options.run.workers) = (micro_batch, workers);
            train_on(&letters, &letter_tokenizer(), &options).unwrap();
            losses(dir.path())
        };
        let whole = run(None, 1);
        for (micro_batch, workers) in [(1, 1), (3, 2)] {
            let parts = run(Some(micro_batch), workers);
            assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-4), "{parts:?}");
        }
    }

    #[test]
    fn a_run_that_no_longer_improves_stops_and_keeps_its_best_model() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tiny_run(dir.path(), 500);
        options.run.checkpoint_steps = Some(5);
        options.run.patience = Some(2);
        // So fast that it soon gets worse.
        options.run.optimizer.adamw_rate = 3.0;
        options.run.optimizer.muon_rate = 3.0;
        let first = train_on(&letters, &letter_tokenizer(), &options).unwrap();
        assert!(first.steps < 500 && first.steps.is_multiple_of(5), "{first:?}");
        let records = crate::log::read_log(&dir.path().join("log.jsonl")).unwrap();
        let scores: Vec<f64> = records
            .iter()
            .filter(|record| !record.validation.is_empty())
            .map(|r| r.validation.values().sum())
            .collect();
        let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(scores.iter().position(|&s| s == best), Some(scores.len() - 3), "{scores:?}");
        // Numbers in JSON are read back to within their last digit.
        assert!((first.validation.values().sum::<f64>() - best).abs() < 1e-9, "{first:?}");
        let model = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        // It stays stopped, and the model stays the best.
        let again = train_on(&letters, &letter_tokenizer(), &options).unwrap();
        assert_eq!(again.steps, first.steps);
        assert!((again.validation.values().sum::<f64>() - best).abs() < 1e-9, "{again:?}");
        assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), model);
    }
}
