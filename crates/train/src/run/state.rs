//! The resumable state of a run: weights, averaged weights, optimizer and position, in one folder.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::OptimizerRecord;
use serde::Serialize;
use serde_json::Value;

use super::optimizer::Optimizer;
use super::optimizer_options::OptimizerOptions;
use super::position::Position;
use crate::error::TrainError;
use crate::files;

/// The state of a run.
pub(crate) struct Run<M> {
    pub module: M,
    pub averaged: M,
    pub optimizer: Optimizer,
    pub position: Position,
    /// The objective's state; null if it has none.
    pub carried: Value,
}

impl<M: Module> Run<M> {
    /// The state before the first step.
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

/// The file of the objective's state in the last checkpoint in `dir`.
pub(crate) fn carried_path(dir: &Path) -> PathBuf {
    dir.join(CURRENT).join(CARRIED)
}

/// Writes `run` into `dir/checkpoint`. If it is interrupted, the folder still holds a whole checkpoint, this one or the
/// previous one.
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

/// Rejects a folder that holds a model but no checkpoint: training would overwrite the model.
pub(crate) fn check_folder(dir: &Path) -> Result<(), TrainError> {
    let result = dir.join("model.safetensors");
    let is_resumable = |name: &&str| dir.join(name).join(POSITION).exists();
    if result.exists() && ![CURRENT, PREVIOUS].iter().any(is_resumable) {
        return Err(TrainError::ForeignFolder { path: result });
    }
    Ok(())
}

/// Restores `run` from the checkpoint in `dir`. Returns it unchanged if there is none.
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
    std::fs::write(&path, files::json_bytes(value, &path)?).map_err(TrainError::io("write", path))
}

fn read<M: Module>(run: Run<M>, dir: &Path) -> Result<Run<M>, TrainError> {
    let failed = |e: burn::store::RecordError| TrainError::malformed(dir, e);
    let position = files::read_json(&dir.join(POSITION))?;
    let carried = files::read_json(&dir.join(CARRIED))?;
    let module = run.module.try_load_file(dir.join("weights.bpk")).map_err(failed)?;
    let averaged = run.averaged.try_load_file(dir.join("averaged.bpk")).map_err(failed)?;
    // Loading restores the parameters' ids, which optimizers refer to.
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
    use crate::model::{DreamConfig, DreamModule, init};
    use burn::tensor::Device;

    fn run(step: u64) -> Run<DreamModule> {
        let device = Device::default().autodiff();
        let model = init(DreamModule::tied(&DreamConfig::tiny(), &device), 1);
        let run = Run::new(model, OptimizerOptions::default());
        Run { position: Position { step, ..Position::default() }, ..run }
    }

    #[test]
    fn a_whole_checkpoint_remains_wherever_saving_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let step = || restore(run(0), dir.path()).unwrap().position.step;
        assert_eq!(step(), 0);
        save(&run(2), dir.path()).unwrap();
        assert_eq!(step(), 2);
        // Interrupted while the new checkpoint is written, and after the old one is moved away.
        std::fs::create_dir(dir.path().join(UNFINISHED)).unwrap();
        std::fs::write(dir.path().join(UNFINISHED).join("weights.bpk"), b"half").unwrap();
        assert_eq!(step(), 2);
        std::fs::rename(dir.path().join(CURRENT), dir.path().join(PREVIOUS)).unwrap();
        assert_eq!(step(), 2);
        // The next save removes what is left of both.
        save(&run(3), dir.path()).unwrap();
        assert_eq!(step(), 3);
        assert!(dir.path().join(CURRENT).exists());
        assert!(!dir.path().join(PREVIOUS).exists() && !dir.path().join(UNFINISHED).exists());
    }
}
