//! A run's resumable state: weights, averaged weights, optimizer and position, in one folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::OptimizerRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::optimizer::Optimizer;
use crate::options::OptimizerOptions;
use crate::{TrainError, json};

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Steps taken.
    pub step: u64,
    /// Seconds spent on steps.
    pub seconds: f64,
    /// A running mean of the loss over about the last hundred steps.
    pub mean_loss: f64,
    /// The best score of a validation so far.
    #[serde(default)]
    pub best: Option<f64>,
    /// Validations since then.
    #[serde(default)]
    pub stale: u32,
    /// The figures of that best validation.
    #[serde(default)]
    pub validation: BTreeMap<String, f64>,
}

impl Position {
    /// Counts one step.
    pub fn advance(&mut self, loss: f64, seconds: f64) {
        let weight = 1.0 / (self.step + 1).min(100) as f64;
        self.mean_loss += weight * (loss - self.mean_loss);
        self.step += 1;
        self.seconds += seconds;
    }

    /// Takes note of a validation and its score; whether it is the best so far.
    pub fn judge(&mut self, score: f64, validation: &BTreeMap<String, f64>) -> bool {
        let better = self.best.is_none_or(|best| score < best);
        if better {
            (self.best, self.stale) = (Some(score), 0);
            self.validation.clone_from(validation);
        } else {
            self.stale += 1;
        }
        better
    }
}

/// Everything a run carries from step to step.
pub(crate) struct Run<M> {
    pub module: M,
    pub averaged: M,
    pub optimizer: Optimizer,
    pub position: Position,
    /// What the objective remembers; null where it remembers nothing.
    pub carried: Value,
}

impl<M: Module> Run<M> {
    /// A run at its start.
    pub fn new(module: M, options: OptimizerOptions) -> Self {
        let optimizer = Optimizer::new(&module, options);
        Self {
            averaged: module.valid(),
            module,
            optimizer,
            position: Position::default(),
            carried: Value::Null,
        }
    }
}

const CURRENT: &str = "checkpoint";
const PREVIOUS: &str = "checkpoint.old";
const UNFINISHED: &str = "checkpoint.new";
const POSITION: &str = "position.json";
const CARRIED: &str = "carried.json";

/// The file of what the objective remembers at the last checkpoint in `dir`.
pub(crate) fn carried_path(dir: &Path) -> PathBuf {
    dir.join(CURRENT).join(CARRIED)
}

/// Writes `run` into `dir/checkpoint`. Whenever it is interrupted, the folder still holds one whole
/// checkpoint, this one or the one before.
pub(crate) fn save<M: Module>(run: &Run<M>, dir: &Path) -> Result<(), TrainError> {
    let (new, current, old) = (dir.join(UNFINISHED), dir.join(CURRENT), dir.join(PREVIOUS));
    remove(&new)?;
    std::fs::create_dir_all(&new).map_err(TrainError::io("create", &new))?;
    write(run, &new)?;
    if current.exists() {
        remove(&old)?;
        std::fs::rename(&current, &old).map_err(TrainError::io("rename", &current))?;
    }
    std::fs::rename(&new, &current).map_err(TrainError::io("rename", &new))?;
    remove(&old)
}

/// Refuses a folder that holds a model and no checkpoint: training there would overwrite it.
pub(crate) fn check_folder(dir: &Path) -> Result<(), TrainError> {
    let result = dir.join("model.safetensors");
    let resumable = |name: &&str| dir.join(name).join(POSITION).exists();
    if result.exists() && ![CURRENT, PREVIOUS].iter().any(resumable) {
        return Err(TrainError::ForeignFolder { path: result });
    }
    Ok(())
}

/// `run` as `dir` left it, or as it is where `dir` holds no checkpoint.
pub(crate) fn restore<M: Module>(run: Run<M>, dir: &Path) -> Result<Run<M>, TrainError> {
    for name in [CURRENT, PREVIOUS] {
        let folder = dir.join(name);
        if folder.join(POSITION).exists() {
            return read(run, &folder);
        }
    }
    Ok(run)
}

fn write<M: Module>(run: &Run<M>, dir: &Path) -> Result<(), TrainError> {
    let failed = |e: burn::store::RecordError| TrainError::malformed(dir, e);
    run.module.clone().save_file(dir.join("weights.bpk")).map_err(failed)?;
    run.averaged.clone().save_file(dir.join("averaged.bpk")).map_err(failed)?;
    for (i, record) in run.optimizer.records().into_iter().enumerate() {
        record.save(dir.join(format!("optimizer-{i}.bpk"))).map_err(failed)?;
    }
    write_json(&run.carried, dir.join(CARRIED))?;
    write_json(&run.position, dir.join(POSITION))
}

fn write_json(value: &impl Serialize, path: PathBuf) -> Result<(), TrainError> {
    std::fs::write(&path, json::bytes(value, &path)?).map_err(TrainError::io("write", path))
}

fn read<M: Module>(run: Run<M>, dir: &Path) -> Result<Run<M>, TrainError> {
    let failed = |e: burn::store::RecordError| TrainError::malformed(dir, e);
    let position = json::read(&dir.join(POSITION))?;
    let carried = json::read(&dir.join(CARRIED))?;
    let module = run.module.try_load_file(dir.join("weights.bpk")).map_err(failed)?;
    let averaged = run.averaged.try_load_file(dir.join("averaged.bpk")).map_err(failed)?;
    // Loading restores the parameters' ids, by which optimizers know them.
    let optimizer = Optimizer::new(&module, run.optimizer.options());
    let records: Result<Vec<_>, _> = (0..optimizer.len())
        .map(|i| OptimizerRecord::load(dir.join(format!("optimizer-{i}.bpk"))))
        .collect();
    let optimizer = optimizer.load(records.map_err(failed)?);
    Ok(Run { module, averaged, optimizer, position, carried })
}

fn remove(dir: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io("remove", dir)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::train_on;
    use crate::dream::DreamModule;
    use crate::testing::{letter_tokenizer, letters, tiny_run};
    use burn::tensor::Device;

    fn step(options: &crate::base::BaseOptions) -> u64 {
        let config = options.config(&letter_tokenizer()).unwrap();
        let model = DreamModule::tied(&config, &Device::default().autodiff());
        let run = Run::new(model, options.run.optimizer);
        restore(run, &options.run.dir).unwrap().position.step
    }

    #[test]
    fn wherever_saving_is_interrupted_a_whole_checkpoint_remains() {
        let dir = tempfile::tempdir().unwrap();
        let options = tiny_run(dir.path(), 2);
        assert_eq!(step(&options), 0);
        train_on(&letters, &letter_tokenizer(), &options).unwrap();
        assert_eq!(step(&options), 2);
        // The new one half written, then the old one moved away.
        std::fs::create_dir(dir.path().join(UNFINISHED)).unwrap();
        std::fs::write(dir.path().join(UNFINISHED).join("weights.bpk"), b"half").unwrap();
        assert_eq!(step(&options), 2);
        std::fs::rename(dir.path().join(CURRENT), dir.path().join(PREVIOUS)).unwrap();
        assert_eq!(step(&options), 2);
        // The next run cleans up.
        train_on(&letters, &letter_tokenizer(), &tiny_run(dir.path(), 3)).unwrap();
        assert!(dir.path().join(CURRENT).exists());
        assert!(!dir.path().join(PREVIOUS).exists() && !dir.path().join(UNFINISHED).exists());
    }
}
