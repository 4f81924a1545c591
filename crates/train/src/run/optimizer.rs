//! Muon for the matrices inside the layers and AdamW for all other parameters, or AdamW only, on several threads.

use burn::module::{Module, ParamId};
use burn::module::{ModuleVisitor, Param};
use burn::optim::{
    AdamWConfig, AdjustLrFn, GradientsParams, ModuleOptimizer, MuonConfig, OptimizerRecord,
};
use burn::tensor::Tensor;

use super::optimizer_options::{Method, OptimizerOptions};
use super::params::{self, ParamInfo};
use super::threads;
use crate::error::TrainError;

/// Matrices are spread over this many groups. The number does not depend on the number of threads, so that a run can
/// resume with another number of threads.
const MATRIX_GROUPS: usize = 4;

/// Parameters that one optimizer updates together, on one thread.
struct ParameterGroup {
    ids: Vec<ParamId>,
    optimizer: ModuleOptimizer,
    rate: f64,
}

/// The optimizer of one run.
pub(crate) struct Optimizer {
    groups: Vec<ParameterGroup>,
    options: OptimizerOptions,
}

impl Optimizer {
    /// An optimizer for `module`'s parameters.
    pub fn new(module: &impl Module, options: OptimizerOptions) -> Self {
        let (matrices, others): (Vec<_>, Vec<_>) =
            params::list(module).into_iter().partition(is_matrix);
        let group = |params: Vec<ParamInfo>, optimizer, rate| ParameterGroup {
            ids: params.into_iter().map(|p| p.id).collect(),
            optimizer,
            rate,
        };
        let mut groups = vec![group(others, adamw(&options, 0.0), options.adamw_rate)];
        groups.extend(spread(matrices).into_iter().map(|matrices| match options.method {
            Method::Muon => group(matrices, muon(options.weight_decay), options.muon_rate),
            Method::AdamW => {
                group(matrices, adamw(&options, options.weight_decay), options.adamw_rate)
            }
        }));
        Self { groups, options }
    }

    /// Updates `module` once, on up to `workers` threads. The result does not depend on their number.
    pub fn step<M: Module + Sync>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        factor: f64,
        workers: usize,
    ) -> Result<M, TrainError> {
        let norm = params::gradient_norm(&module, &gradients);
        let scale = (self.options.clip / norm.max(f64::MIN_POSITIVE)).min(1.0);
        let parts = split(&module, gradients, &self.groups, scale);
        let mut lanes: Vec<Vec<_>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
        let count = lanes.len();
        for (i, work) in self.groups.iter_mut().zip(parts).enumerate() {
            lanes[i % count].push(work);
        }
        let run = |lane: Vec<(&mut ParameterGroup, GradientsParams)>| -> Vec<GradientsParams> {
            lane.into_iter()
                .map(|(group, gradients)| group.step(&module, gradients, factor))
                .collect()
        };
        let updates = threads::map(lanes, run)?;
        Ok(updates
            .into_iter()
            .flatten()
            .fold(module, |module, mut update| params::replace(module, &mut update)))
    }

    /// The state of each group, in a fixed order.
    pub fn records(&self) -> Vec<OptimizerRecord> {
        self.groups.iter().map(|group| group.optimizer.to_record()).collect()
    }

    /// Restores the states from [`Optimizer::records`].
    pub fn load(mut self, records: Vec<OptimizerRecord>) -> Self {
        for (group, record) in self.groups.iter_mut().zip(records) {
            group.optimizer = group.optimizer.clone().load_record(record);
        }
        self
    }

    /// The optimizer's options.
    pub fn options(&self) -> OptimizerOptions {
        self.options
    }

    /// The number of states that [`Optimizer::records`] returns.
    pub fn len(&self) -> usize {
        self.groups.len()
    }
}

impl ParameterGroup {
    fn step<M: Module>(
        &mut self,
        module: &M,
        gradients: GradientsParams,
        factor: f64,
    ) -> GradientsParams {
        let updated = self.optimizer.step(self.rate * factor, module.clone(), gradients);
        params::values(&updated, |id| self.ids.contains(&id))
    }
}

fn adamw(options: &OptimizerOptions, weight_decay: f64) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_beta_2(options.beta_2 as f32)
        .with_epsilon(1e-8)
        .with_weight_decay(weight_decay as f32)
        .init()
}

fn muon(weight_decay: f64) -> ModuleOptimizer {
    // burn's other adjustment assumes [out, in] matrices, but burn's layers hold [in, out].
    let config = MuonConfig::new().with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
    match weight_decay {
        0.0 => config.init(),
        decay => config
            .with_weight_decay(Some(burn::optim::decay::WeightDecayConfig::new(decay as f32)))
            .init(),
    }
}

/// Whether Muon updates a parameter: the matrices of layers, but not the embedding or the head.
fn is_matrix(param: &ParamInfo) -> bool {
    param.shape.len() == 2
        && (param.path.contains("_proj.") || param.path.contains("down_project."))
}

/// Spreads `matrices` over [`MATRIX_GROUPS`] groups of about equal cost.
fn spread(mut matrices: Vec<ParamInfo>) -> Vec<Vec<ParamInfo>> {
    let cost =
        |p: &ParamInfo| p.shape.iter().product::<usize>() * p.shape.iter().min().unwrap_or(&1);
    matrices.sort_by_key(|p| std::cmp::Reverse(cost(p)));
    let mut groups = vec![(0, Vec::new()); MATRIX_GROUPS];
    for matrix in matrices {
        if let Some(least) = groups.iter_mut().min_by_key(|group| group.0) {
            least.0 += cost(&matrix);
            least.1.push(matrix);
        }
    }
    groups.into_iter().map(|group| group.1).collect()
}

/// Splits `gradients`, times `scale`, by the groups of their parameters.
fn split<M: Module>(
    module: &M,
    gradients: GradientsParams,
    groups: &[ParameterGroup],
    scale: f64,
) -> Vec<GradientsParams> {
    struct Splitter<'a> {
        gradients: GradientsParams,
        groups: &'a [ParameterGroup],
        parts: Vec<GradientsParams>,
        scale: f64,
    }
    impl ModuleVisitor for Splitter<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let group = self.groups.iter().position(|group| group.ids.contains(&param.id));
            if let (Some(group), Some(gradient)) = (group, self.gradients.remove::<D>(param.id)) {
                self.parts[group].register(param.id, gradient.mul_scalar(self.scale));
            }
        }
    }
    let parts = groups.iter().map(|_| GradientsParams::new()).collect();
    let mut splitter = Splitter { gradients, groups, parts, scale };
    module.visit(&mut splitter);
    splitter.parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DreamConfig, DreamModule, Stored, export, init};
    use burn::tensor::{Device, Int, TensorData};

    fn model() -> DreamModule {
        init(DreamModule::tied(&DreamConfig::tiny(), &Device::default().autodiff()), 1)
    }

    fn gradients(model: &DreamModule) -> GradientsParams {
        let device = Device::default().autodiff();
        let ids: Vec<i32> = (0..64).map(|i| i * i / 3 % 8).collect();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [8, 8]), &device);
        let loss = model.logits(model.forward(ids)).square().mean();
        GradientsParams::from_grads(loss.backward(), model)
    }

    fn train(workers: usize, factor: f64) -> std::collections::BTreeMap<String, Stored> {
        let mut model = model();
        let mut optimizer = Optimizer::new(&model, OptimizerOptions::default());
        for _ in 0..3 {
            let gradients = gradients(&model);
            model = optimizer.step(model, gradients, factor, workers).unwrap();
        }
        export(&model, str::to_owned)
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_result() {
        let one = train(1, 1.0);
        assert_eq!(one, train(2, 1.0));
        assert_eq!(one, train(7, 1.0));
        assert_ne!(one, train(1, 0.5));
    }

    #[test]
    fn every_parameter_belongs_to_one_group_and_is_updated() {
        let model = model();
        let optimizer = Optimizer::new(&model, OptimizerOptions::default());
        for param in params::list(&model) {
            assert_eq!(
                optimizer.groups.iter().filter(|s| s.ids.contains(&param.id)).count(),
                1,
                "{}",
                param.path
            );
        }
        let (before, after) = (export(&model, str::to_owned), train(2, 1.0));
        // Softmax ignores a constant added to all scores. Only key biases therefore have no gradient.
        let unchanged: Vec<_> =
            before.keys().filter(|name| before[*name] == after[*name]).collect();
        assert!(unchanged.iter().all(|name| name.ends_with("k_proj.bias")), "{unchanged:?}");
    }

    #[test]
    fn muon_updates_have_the_documented_size() {
        let model = model();
        let options = OptimizerOptions { muon_rate: 0.1, ..OptimizerOptions::default() };
        let mut optimizer = Optimizer::new(&model, options);
        let param = &model.layers[0].mlp.down_proj.weight;
        let noise = (0..24 * 16).map(|i: i32| ((i * i * 37 % 101) as f32).sin()).collect();
        let mut gradients = GradientsParams::new();
        let noise = Tensor::<2>::from_data(TensorData::new(noise, [24, 16]), &Device::default());
        gradients.register(param.id, noise);
        let before = model.layers[0].mlp.down_proj.weight.val().inner();
        let after = optimizer.step(model, gradients, 1.0, 1).unwrap().layers[0]
            .mlp
            .down_proj
            .weight
            .val()
            .inner();
        let size: f32 = (after - before).square().mean().sqrt().into_scalar();
        // The Newton-Schulz iteration brings singular values to between 0.7 and 1.2, not to 1.
        assert!((0.014..0.024).contains(&size), "{size}");
    }
}
