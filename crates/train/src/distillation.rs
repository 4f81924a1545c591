//! Training of the sampler layer along trajectories, the frozen model's own or the layer's.

use std::path::PathBuf;

use conjoint_export::SamplerForm;
use conjoint_trajectory::Trajectory;

use crate::TrainError;
use crate::chain::Frozen;
use crate::checkpoint::{self, Precision};
use crate::config::check;
use crate::devices::Devices;
use crate::distill::Comparison;
use crate::dream::DreamModule;
use crate::options::{OptimizerOptions, RunOptions};
use crate::params;
use crate::sampler::SamplerModule;
use crate::tables::Tables;
use crate::teacher::{InMemory, Teacher};
use crate::trainer::{self, RunSummary};
use crate::unrolling::Distillation;
use crate::window::Window;

/// How the sampler layer is trained. The defaults are those of arXiv 2509.22738 where it states them, but for three:
/// states of decoding instead of texts masked at random ([`random_share`](Self::random_share)), an average of
/// the weights, and float32. Of its weights of the depths it only says that they favour small j.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// The frozen model's checkpoint folder, of any architecture that `conjoint export` reads; the layer shares
    /// its embedding and head.
    pub base: PathBuf,
    /// Decoder layers of the sampler. Those that weights of [`RunOptions::init`] lack come after theirs and start as
    /// the identity, so that the whole starts as those weights.
    pub layers: usize,
    /// The gain of the last norm before training: at 0 the layer starts as the identity, at 1 as norms usually do.
    /// Weights of [`RunOptions::init`] have a gain of their own.
    pub start_gain: f64,
    /// The weight of each depth j = 1..=J in the loss; its length is J, the most passes that are
    /// unrolled. To reveal K tokens a step well, J should be at least K − 1.
    pub depth_weights: Vec<f64>,
    /// Compare at all depths in each step, rather than at one drawn by `depth_weights`: a step needs
    /// more forwards of the frozen model and learns more.
    pub all_depths: bool,
    /// How much each masked row weighs.
    pub window: Window,
    /// Chains begin where the share uᵖ of a trajectory is revealed, with u uniform on \[0, 1) and this p: 1 begins as often
    /// in each state, above 1 oftener in early ones, where most is decided. Texts masked at random are as they are.
    pub early_power: f64,
    /// The share of a batch's sequences whose tokens the layer itself draws, from x¹ on, as in decoding,
    /// rather than the trajectory's: the layer then learns to answer to its own mistakes.
    pub own_share: f64,
    /// The share of a batch's sequences whose x⁰ is a trajectory's text with each token masked with a probability t,
    /// uniform on \[0, 1\], and whose xʲ reveal it where the frozen model is surest: the paper's
    /// states. The others are states of decoding. Asks the frozen model about each state on the way.
    pub random_share: f64,
    /// The divergence, and the terms on hidden states. Its temperature is that of [`temperatures`](Self::temperatures).
    pub comparison: Comparison,
    /// The temperatures at which distributions are compared, one a step in turn.
    pub temperatures: Vec<f64>,
    /// How many rows the passes of a step compute in each sequence, one number a step in turn: the layer is then trained for
    /// [passes over rows](crate::row_passes::RowPasses), which cost that many rows. With N there are at most N − 1 passes. If
    /// empty, passes compute whole sequences: the published form.
    pub candidates: Vec<usize>,
    /// Bytes of memory for the teacher's answers, so that a state met again costs no forward of the
    /// frozen model; 0 remembers nothing.
    pub cache_bytes: usize,
    /// How many of the first trajectories are validated on and not trained on.
    pub held_out: usize,
    /// The number format of the saved weights.
    pub precision: Precision,
    /// Budget, folder, batch and learning rates.
    pub run: RunOptions,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            base: PathBuf::from("base"),
            layers: 1,
            start_gain: 0.0,
            depth_weights: favour_shallow(7),
            all_depths: false,
            window: Window::default(),
            early_power: 1.0,
            own_share: 0.0,
            random_share: 0.0,
            comparison: Comparison::default(),
            temperatures: vec![1.0],
            candidates: Vec::new(),
            cache_bytes: 4 << 30,
            held_out: 64,
            precision: Precision::F32,
            run: RunOptions { optimizer: OptimizerOptions::published(), ..RunOptions::default() },
        }
    }
}

/// Weights 1/j for the depths j = 1..=`depth`: each further pass counts less.
pub fn favour_shallow(depth: usize) -> Vec<f64> {
    (1..=depth).map(|j| 1.0 / j as f64).collect()
}

/// By how much sums of shares may be off.
pub(crate) const ROUNDING: f64 = 1e-9;

impl SamplerOptions {
    /// The form of passes that the layer is trained for.
    pub fn form(&self) -> SamplerForm {
        if self.candidates.is_empty() { SamplerForm::Sequence } else { SamplerForm::Rows }
    }

    /// Whether all options can work.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] names the first that cannot.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.run.validate()?;
        check(self.layers > 0, "layers", 0, "at least 1")?;
        let weights = &self.depth_weights;
        let usable =
            weights.iter().all(|w| *w >= 0.0 && w.is_finite()) && weights.iter().sum::<f64>() > 0.0;
        check(usable, "depth_weights", format!("{weights:?}"), "numbers of 0 or above, not all 0")?;
        self.window.validate()?;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        check(is_share(self.own_share), "own_share", self.own_share, "from 0 to 1")?;
        let random = self.random_share;
        check(is_share(random), "random_share", random, "from 0 to 1")?;
        let expected = format!("at most what own_share = {} leaves of 1", self.own_share);
        check(self.own_share + random <= 1.0 + ROUNDING, "random_share", random, expected)?;
        let Comparison { teacher, start, .. } = self.comparison;
        let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        check(is_weight(teacher), "lambda_teacher", teacher, "finite and 0 or above")?;
        check(is_weight(start), "lambda_start", start, "finite and 0 or above")?;
        check(is_weight(self.start_gain), "start_gain", self.start_gain, "finite and 0 or above")?;
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        let temperatures = &self.temperatures;
        let usable = !temperatures.is_empty() && temperatures.iter().all(|&t| is_positive(t));
        let shown = format!("{temperatures:?}");
        check(usable, "temperatures", shown, "at least one, all finite and above 0")?;
        let few = self.candidates.iter().find(|&&rows| rows < 2);
        check(few.is_none(), "candidates", few.unwrap_or(&0), {
            "at least 2 rows: the one just revealed, and one more"
        })?;
        let whole = self.candidates.is_empty() || self.own_share == 0.0;
        check(
            whole,
            "own_share",
            self.own_share,
            "0 with candidates: the layer draws by whole sequences",
        )?;
        check(
            is_positive(self.early_power),
            "early_power",
            self.early_power,
            "finite and above 0",
        )?;
        check(self.held_out > 0, "held_out", self.held_out, "at least 1")
    }
}

/// Trains a sampler layer for the frozen model in `options.base`, or continues the run in
/// `options.run.dir`.
///
/// A row of a batch is a state of a trajectory, drawn uniformly or more often early, see
/// [`SamplerOptions::early_power`]: x⁰ is its canvas after k reveals,
/// x¹, x², … reveal the next positions in its order, with its tokens. The layer is
/// unrolled from the teacher's h⁰ and compared with the teacher on each xʲ; see
/// [`crate::distill::loss`].
/// [`SamplerOptions::own_share`] and [`SamplerOptions::random_share`] have states of other kinds.
///
/// The run's folder receives `model.safetensors` (the averaged weights, named `drafter.*`) at each
/// checkpoint, beside `log.jsonl`, `loss.svg` and `checkpoint/`. The validation reports, for each
/// depth j on held-out trajectories, means over states of
///
/// - `kl j`: KL(p_base(· | xʲ) ‖ p_sampler) over the masked rows, and `stale kl j`: the same for
///   p_base(· | x⁰), which is what independent draws use;
/// - `kl left j` = `kl j` / `stale kl j`, the share of the error that the layer leaves;
/// - `next kl left j`: the same at the one position that is revealed next;
/// - `top-1 j` and `stale top-1 j`: how often the likeliest token is the frozen model's.
///
/// # Errors
///
/// An option cannot work, a trajectory does not fit the model, the teacher fails, the loss
/// diverges, or a file cannot be read or written.
pub fn train_sampler(
    options: &SamplerOptions,
    teacher: &impl Teacher,
    trajectories: &[Trajectory],
) -> Result<RunSummary, TrainError> {
    train_on(options, teacher, trajectories, &options.run.device.all()?)
}

/// [`train_sampler`] on these devices.
fn train_on(
    options: &SamplerOptions,
    teacher: &impl Teacher,
    trajectories: &[Trajectory],
    devices: &Devices,
) -> Result<RunSummary, TrainError> {
    options.validate()?;
    let tables = Tables::read(&options.base, &devices.first)?;
    let length = trajectories.first().map_or(0, |t| t.tokens.len());
    for trajectory in trajectories {
        trajectory.validate(length, tables.config().vocab_size)?;
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
                format!("at least {found}, as many as {} has", weights.display())
            })?;
            let fresh = SamplerModule::new(tables.config(), options.layers - found, &device);
            layer.layers.extend(params::init(fresh, options.run.seed).layers);
            layer
        }
        None => {
            let layer = SamplerModule::new(tables.config(), options.layers, &device);
            params::init(layer, options.run.seed).with_gain(options.start_gain)
        }
    };
    let frozen = Frozen { tables, teacher: &InMemory::new(teacher, options.cache_bytes) };
    let others = devices.others.iter().map(|device| frozen.on(device)).collect();
    let objective = Distillation { frozen, others, training, held_out, options };
    trainer::train(layer, &objective, &options.run, devices)
}

/// [`train_sampler`] with the frozen model in `options.base` as its own teacher.
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
    use crate::options::OptimizerOptions;
    use crate::testing::{shaken, tiny_config, trajectories};
    use burn::tensor::Device;
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

    /// A folder with a random base model, whose distributions depend on all their context.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let base = shaken(DreamModule::untied(&tiny_config(), &Device::default()), 1);
        checkpoint::save(&base, &dir.path().join("base"), Precision::F32).unwrap();
        dir
    }

    #[test]
    fn the_layer_learns_to_follow_the_teacher() {
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
    fn passes_over_rows_are_learned_too() {
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
        let refused = train_sampler_from_checkpoint(&other, &trajectories(60));
        assert!(refused.unwrap_err().to_string().contains("candidates"));
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
        // A layer more changes nothing at first.
        more.run.dir = dir.path().join("two");
        more.layers = 2;
        let two = train(&more).unwrap();
        near(&two, &before);
        assert_ne!(two.validation, after.validation);
        // But one less would.
        more.run.init = Some(dir.path().join("two/model.safetensors"));
        more.run.dir = dir.path().join("fewer");
        more.layers = 1;
        let fewer = train(&more);
        assert!(matches!(fewer, Err(TrainError::Invalid { name: "layers", .. })));
    }

    /// Any adapter will do, such as Mesa's llvmpipe, which is a processor.
    #[cfg(feature = "wgpu")]
    #[test]
    fn a_run_on_gpus_and_on_devices_of_two_kinds_is_that_on_the_processor() {
        use crate::devices::DeviceKind;

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
    fn what_cannot_be_trained_on_is_refused() {
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
        let own = SamplerOptions { candidates: vec![4], own_share: 0.5, ..good() };
        assert!(matches!(train(&own, 9), Err(TrainError::Invalid { name: "own_share", .. })));
        let cold = SamplerOptions { temperatures: vec![1.0, 0.0], ..good() };
        assert!(matches!(train(&cold, 9), Err(TrainError::Invalid { name: "temperatures", .. })));
        let nowhere = SamplerOptions { base: dir.path().join("nowhere"), ..good() };
        assert!(matches!(train(&nowhere, 9), Err(TrainError::Io { .. })));
        let mut broken = trajectories(9);
        broken[7].order.pop();
        assert!(matches!(
            train_sampler_from_checkpoint(&good(), &broken),
            Err(TrainError::Trajectories(_))
        ));
    }
}
