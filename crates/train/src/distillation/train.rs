//! Runs the training of a sampler layer.

use conjoint_trajectory::Trajectory;

use super::blocks::Blocks;
use super::frozen::Frozen;
use super::lengths::ByLength;
use super::objective::Distillation;
use super::options::SamplerOptions;
use super::teachers::{InMemory, Teacher};
use crate::error::{TrainError, check};
use crate::model::{DreamModule, SamplerModule, Tables, checkpoint, init};
use crate::run::{Devices, RunSummary, train};

/// Trains a sampler layer for the frozen model in `options.base`, or resumes the run in `options.run.dir`.
///
/// Trajectories may have different lengths. The rows of a batch have one length, each length as often as trajectories have it.
///
/// A row of a batch is a chain of states of a trajectory. x⁰ is its canvas after k reveals, and x¹, x², … reveal the next
/// positions in the trajectory's order, with its tokens. [`SamplerOptions::early_power`] sets the distribution of k;
/// [`SamplerOptions::own_share`] and [`SamplerOptions::random_share`] add chains of other kinds.
///
/// The layer is unrolled from the teacher's h⁰, and compared with the teacher on each xʲ; see [`loss`](super::loss()).
/// Only the layer has gradients.
///
/// At each checkpoint, the run's folder receives `model.safetensors` (the averaged weights, named `drafter.*`). It also
/// holds `log.jsonl`, `loss.svg` and `checkpoint/`. The validation reports, for each depth j, averages over states of
/// held-out trajectories:
///
/// - `kl j`: KL(p_base(· | xʲ) ‖ p_sampler) over the masked rows. `stale kl j`: the same for p_base(· | x⁰), the
///   distribution that independent draws use.
/// - `kl left j` = `kl j` / `stale kl j`, the share of the divergence that the layer leaves.
/// - `next kl left j`: the same at the position that is revealed next.
/// - `top-1 j` and `stale top-1 j`: how often the most probable token equals the frozen model's.
///
/// # Errors
///
/// An option is unusable, a trajectory does not fit the model, the teacher fails, the loss diverges, or a file cannot be
/// read or written.
#[doc(alias = "knowledge distillation")]
#[doc(alias = "distil")]
pub fn train_sampler(
    options: &SamplerOptions,
    teacher: &impl Teacher,
    trajectories: &[Trajectory],
) -> Result<RunSummary, TrainError> {
    train_on(options, teacher, trajectories, &options.run.device.all()?)
}

/// As [`train_sampler`], on the given devices.
fn train_on(
    options: &SamplerOptions,
    teacher: &impl Teacher,
    trajectories: &[Trajectory],
    devices: &Devices,
) -> Result<RunSummary, TrainError> {
    options.validate()?;
    let tables = Tables::read(&options.base, &devices.first)?;
    for trajectory in trajectories {
        trajectory.validate(tables.config().vocab_size)?;
        Blocks(options.block_length).check(trajectory)?;
    }
    let Some((held_out, training)) =
        trajectories.split_at_checked(options.held_out).filter(|s| !s.1.is_empty())
    else {
        return Err(TrainError::TooFewTrajectories {
            got: trajectories.len(),
            held_out: options.held_out,
        });
    };
    let device = devices.first.clone().autodiff();
    let layer = match &options.run.init {
        Some(weights) => {
            let mut layer = SamplerModule::load(weights, tables.config(), &device)?;
            let found = layer.layers.len();
            check(found <= options.layers, "layers", options.layers, {
                format!("at least {found}, the number in {}", weights.display())
            })?;
            let fresh = SamplerModule::new(tables.config(), options.layers - found, &device);
            layer.layers.extend(init(fresh, options.run.seed).layers);
            layer
        }
        None => {
            let layer = SamplerModule::new(tables.config(), options.layers, &device);
            init(layer, options.run.seed).with_gain(options.start_gain)
        }
    };
    let frozen = Frozen { tables, teacher: &InMemory::new(teacher, options.cache_bytes) };
    let others = devices.others.iter().map(|device| frozen.on(device)).collect();
    let by_length = ByLength::new(training);
    let objective = Distillation { frozen, others, training, by_length, held_out, options };
    train(layer, &objective, &options.run, devices)
}

/// As [`train_sampler`], with the Dream model in `options.base` as the teacher, which runs in the trainer's memory.
///
/// # Errors
///
/// As [`train_sampler`].
pub fn train_sampler_from_checkpoint(
    options: &SamplerOptions,
    trajectories: &[Trajectory],
) -> Result<RunSummary, TrainError> {
    let teacher: DreamModule = checkpoint::load(&options.base, &options.run.device.all()?.first)?;
    train_sampler(options, &teacher, trajectories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distillation::testing::trajectories;
    use crate::model::testing::shaken;
    use crate::model::{DreamConfig, Precision};
    use crate::run::{OptimizerOptions, RunOptions};
    use burn::tensor::Device;
    use conjoint_format::SamplerForm;
    use std::path::Path;

    fn options(dir: &Path, steps: u64) -> SamplerOptions {
        let optimizer = OptimizerOptions {
            muon_rate: 0.01,
            adamw_rate: 0.01,
            warmup_steps: 5,
            ..Default::default()
        };
        let run = RunOptions {
            dir: dir.join("run"),
            max_steps: Some(steps),
            max_minutes: None,
            batch: 8,
            workers: 2,
            average_decay: 0.9,
            log_every: 1,
            progress: false,
            optimizer,
            ..RunOptions::default()
        };
        let base = dir.join("base");
        SamplerOptions {
            base,
            depth_weights: vec![1.0; 2],
            held_out: 4,
            run,
            ..SamplerOptions::default()
        }
    }

    /// A folder with a random base model, whose distributions depend on the whole context.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let base = shaken(DreamModule::untied(&DreamConfig::tiny(), &Device::default()), 1);
        checkpoint::save(&base, &dir.path().join("base"), Precision::F32).unwrap();
        dir
    }

    #[test]
    fn the_layer_learns_to_match_the_teacher() {
        let dir = folder();
        let start =
            train_sampler_from_checkpoint(&options(dir.path(), 1), &trajectories(60)).unwrap();
        assert!((start.validation["kl left 1"] - 1.0).abs() < 0.02, "{:?}", start.validation);
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
        let changed = SamplerOptions { start_gain: 1.0, ..options(dir.path(), 1) };
        let changed = train_sampler_from_checkpoint(&changed, &trajectories(60)).unwrap();
        assert!(changed.validation["kl left 1"] > 1.1, "{:?}", changed.validation);
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
        let end =
            train_sampler_from_checkpoint(&options(dir.path(), 150), &trajectories(60)).unwrap();
        for depth in [1, 2] {
            assert!(end.validation[&format!("kl left {depth}")] < 0.8, "{:?}", end.validation);
        }
        let config = checkpoint::load_config(&dir.path().join("base")).unwrap();
        assert!(
            SamplerModule::load(
                &dir.path().join("run/model.safetensors"),
                &config,
                &Device::default()
            )
            .is_ok()
        );
    }

    #[test]
    fn the_layer_learns_passes_over_rows() {
        let dir = folder();
        let options = SamplerOptions {
            candidates: vec![3, 5],
            temperatures: vec![1.0, 0.5],
            ..options(dir.path(), 150)
        };
        assert_eq!(options.form(), SamplerForm::Rows);
        let end = train_sampler_from_checkpoint(&options, &trajectories(60)).unwrap();
        for depth in [1, 2] {
            assert!(end.validation[&format!("kl left {depth}")] < 0.8, "{:?}", end.validation);
        }
        let file = std::fs::read(dir.path().join("run/model.safetensors")).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&file).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()[SamplerForm::KEY], "rows");
        let other = SamplerOptions { candidates: vec![3], ..options };
        let rejected = train_sampler_from_checkpoint(&other, &trajectories(60));
        assert!(rejected.unwrap_err().to_string().contains("candidates"));
    }

    #[test]
    fn a_layer_starts_from_the_weights_of_another() {
        let dir = folder();
        let train =
            |options: &SamplerOptions| train_sampler_from_checkpoint(options, &trajectories(60));
        let before = train(&options(dir.path(), 60)).unwrap();
        let mut more = options(dir.path(), 1);
        more.run.init = Some(dir.path().join("run/model.safetensors"));
        more.run.dir = dir.path().join("more");
        let after = train(&more).unwrap();
        let near = |after: &RunSummary, before: &RunSummary| {
            let change = after.validation["kl left 1"] - before.validation["kl left 1"];
            assert!(before.validation["kl left 1"] < 0.95 && change.abs() < 0.03, "{change}");
        };
        near(&after, &before);
        // A further layer starts as the identity.
        more.run.dir = dir.path().join("two");
        more.layers = 2;
        let two = train(&more).unwrap();
        near(&two, &before);
        assert_ne!(two.validation, after.validation);
        // Fewer layers than in the file are rejected.
        more.run.init = Some(dir.path().join("two/model.safetensors"));
        more.run.dir = dir.path().join("fewer");
        more.layers = 1;
        let fewer = train(&more);
        assert!(matches!(fewer, Err(TrainError::Invalid { name: "layers", .. })));
    }

    /// Runs on any adapter, such as Mesa's llvmpipe, which emulates one on the processor.
    #[cfg(feature = "wgpu")]
    #[test]
    fn runs_on_gpus_and_on_devices_of_two_kinds_equal_that_on_the_processor() {
        use crate::run::DeviceKind;

        let dir = folder();
        let teacher: DreamModule =
            checkpoint::load(&dir.path().join("base"), &Device::flex()).unwrap();
        let run = |name: &str, devices: &Devices| {
            let mut options = options(dir.path(), 12);
            options.run.dir = dir.path().join(name);
            train_on(&options, &teacher, &trajectories(60), devices).unwrap().validation
        };
        let [processor, gpus] = [DeviceKind::Cpu, DeviceKind::Wgpu].map(|kind| kind.all().unwrap());
        let mixed = Devices { first: gpus.first.clone(), others: vec![processor.first.clone()] };
        let expected = run("processor", &processor);
        assert!(expected["kl left 1"] < 0.999, "{expected:?}");
        for (name, devices) in [("gpus", gpus), ("mixed", mixed)] {
            for (figure, value) in run(name, &devices) {
                let difference = value - expected[&figure];
                assert!(difference.abs() < 1e-3, "{name}: {figure} {difference}");
            }
        }
    }

    #[test]
    fn unusable_options_and_trajectories_are_rejected() {
        let dir = folder();
        let train = |options: &SamplerOptions, count| {
            train_sampler_from_checkpoint(options, &trajectories(count))
        };
        let good = || options(dir.path(), 1);
        let few = train(&good(), 4);
        assert!(matches!(few, Err(TrainError::TooFewTrajectories { got: 4, held_out: 4 })));
        let none = SamplerOptions { depth_weights: vec![], ..good() };
        assert!(matches!(train(&none, 9), Err(TrainError::Invalid { name: "depth_weights", .. })));
        let bare = SamplerOptions { layers: 0, ..good() };
        assert!(matches!(train(&bare, 9), Err(TrainError::Invalid { name: "layers", .. })));
        let narrow = SamplerOptions { candidates: vec![4, 1], ..good() };
        assert!(matches!(train(&narrow, 9), Err(TrainError::Invalid { name: "candidates", .. })));
        let unweighted =
            SamplerOptions { candidates: vec![8, 2], depth_weights: vec![0.0, 1.0], ..good() };
        let error = train(&unweighted, 9);
        assert!(matches!(error, Err(TrainError::Invalid { name: "candidates", .. })));
        let own = SamplerOptions { candidates: vec![4], own_share: 0.5, ..good() };
        assert!(matches!(train(&own, 9), Err(TrainError::Invalid { name: "own_share", .. })));
        let cold = SamplerOptions { temperatures: vec![1.0, 0.0], ..good() };
        assert!(matches!(train(&cold, 9), Err(TrainError::Invalid { name: "temperatures", .. })));
        let nowhere = SamplerOptions { base: dir.path().join("nowhere"), ..good() };
        assert!(matches!(train(&nowhere, 9), Err(TrainError::Io { .. })));
        let mut broken = trajectories(9);
        broken[7].order[0] = broken[7].order[1];
        assert!(matches!(
            train_sampler_from_checkpoint(&good(), &broken),
            Err(TrainError::Trajectories(_))
        ));
    }
}
