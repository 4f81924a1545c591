//! Muon for the matrices inside the layers and AdamW for everything else, or AdamW alone, on several threads.

use burn::module::{Module, ParamId};
use burn::module::{ModuleVisitor, Param};
use burn::optim::{
    AdamWConfig, AdjustLrFn, GradientsParams, ModuleOptimizer, MuonConfig, OptimizerRecord,
};
use burn::tensor::Tensor;

use crate::TrainError;
use crate::options::{Method, OptimizerOptions};
use crate::params::{self, ParamInfo};
use crate::threads;

/// Matrices are spread over this many shares, whatever the number of threads, so that a run
/// can be resumed with another number.
const MUON_SHARES: usize = 4;

/// Parameters that are updated together, by one optimizer on one thread.
struct ParameterGroup {
    ids: Vec<ParamId>,
    optimizer: ModuleOptimizer,
    rate: f64,
}

/// The optimizer of one run.
pub(crate) struct Optimizer {
    shares: Vec<ParameterGroup>,
    options: OptimizerOptions,
}

impl Optimizer {
    /// An optimizer for `module`'s parameters.
    pub fn new(module: &impl Module, options: OptimizerOptions) -> Self {
        let (matrices, others): (Vec<_>, Vec<_>) =
            params::list(module).into_iter().partition(is_matrix);
        let share = |params: Vec<ParamInfo>, optimizer, rate| ParameterGroup {
            ids: params.into_iter().map(|p| p.id).collect(),
            optimizer,
            rate,
        };
        let mut shares = vec![share(others, adamw(&options, 0.0), options.adamw_rate)];
        shares.extend(spread(matrices).into_iter().map(|matrices| match options.method {
            Method::Muon => share(matrices, muon(options.weight_decay), options.muon_rate),
            Method::AdamW => {
                share(matrices, adamw(&options, options.weight_decay), options.adamw_rate)
            }
        }));
        Self { shares, options }
    }

    /// One update of `module`, on up to `workers` threads; the result does not depend on them.
    pub fn step<M: Module + Sync>(
        &mut self,
        module: M,
        gradients: GradientsParams,
        factor: f64,
        workers: usize,
    ) -> Result<M, TrainError> {
        let norm = params::gradient_norm(&module, &gradients);
        let scale = (self.options.clip / norm.max(f64::MIN_POSITIVE)).min(1.0);
        let parts = split(&module, gradients, &self.shares, scale);
        let mut lanes: Vec<Vec<_>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
        let count = lanes.len();
        for (i, work) in self.shares.iter_mut().zip(parts).enumerate() {
            lanes[i % count].push(work);
        }
        let run = |lane: Vec<(&mut ParameterGroup, GradientsParams)>| -> Vec<GradientsParams> {
            lane.into_iter()
                .map(|(share, gradients)| share.step(&module, gradients, factor))
                .collect()
        };
        let updates = threads::map(lanes, run)?;
        Ok(updates
            .into_iter()
            .flatten()
            .fold(module, |module, mut update| params::replace(module, &mut update)))
    }

    /// The state of each share, in a fixed order.
    pub fn records(&self) -> Vec<OptimizerRecord> {
        self.shares.iter().map(|share| share.optimizer.to_record()).collect()
    }

    /// Continues from [`Optimizer::records`].
    pub fn load(mut self, records: Vec<OptimizerRecord>) -> Self {
        for (share, record) in self.shares.iter_mut().zip(records) {
            share.optimizer = share.optimizer.clone().load_record(record);
        }
        self
    }

    /// What it was made with.
    pub fn options(&self) -> OptimizerOptions {
        self.options
    }

    /// How many states [`Optimizer::records`] returns.
    pub fn len(&self) -> usize {
        self.shares.len()
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
    // burn's other adjustment assumes [out, in] matrices, and burn's own are [in, out].
    let config = MuonConfig::new().with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
    match weight_decay {
        0.0 => config.init(),
        decay => config
            .with_weight_decay(Some(burn::optim::decay::WeightDecayConfig::new(decay as f32)))
            .init(),
    }
}

/// Whether Muon takes a parameter: the matrices of layers, not the embedding or the head.
fn is_matrix(param: &ParamInfo) -> bool {
    param.shape.len() == 2
        && (param.path.contains("_proj.") || param.path.contains("down_project."))
}

/// Spreads `matrices` over [`MUON_SHARES`] shares of about equal cost.
fn spread(mut matrices: Vec<ParamInfo>) -> Vec<Vec<ParamInfo>> {
    let cost =
        |p: &ParamInfo| p.shape.iter().product::<usize>() * p.shape.iter().min().unwrap_or(&1);
    matrices.sort_by_key(|p| std::cmp::Reverse(cost(p)));
    let mut shares = vec![(0, Vec::new()); MUON_SHARES];
    for matrix in matrices {
        if let Some(least) = shares.iter_mut().min_by_key(|share| share.0) {
            least.0 += cost(&matrix);
            least.1.push(matrix);
        }
    }
    shares.into_iter().map(|share| share.1).collect()
}

/// Deals `gradients`, times `scale`, out to the shares they belong to.
fn split<M: Module>(
    module: &M,
    gradients: GradientsParams,
    shares: &[ParameterGroup],
    scale: f64,
) -> Vec<GradientsParams> {
    struct Dealer<'a> {
        gradients: GradientsParams,
        shares: &'a [ParameterGroup],
        parts: Vec<GradientsParams>,
        scale: f64,
    }
    impl ModuleVisitor for Dealer<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let share = self.shares.iter().position(|share| share.ids.contains(&param.id));
            if let (Some(share), Some(gradient)) = (share, self.gradients.remove::<D>(param.id)) {
                self.parts[share].register(param.id, gradient.mul_scalar(self.scale));
            }
        }
    }
    let parts = shares.iter().map(|_| GradientsParams::new()).collect();
    let mut dealer = Dealer { gradients, shares, parts, scale };
    module.visit(&mut dealer);
    dealer.parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dream::DreamModule;
    use crate::tensors::export;
    use crate::testing::tiny_config;
    use burn::tensor::{Device, Int, TensorData};

    fn model() -> DreamModule {
        params::init(DreamModule::tied(&tiny_config(), &Device::default().autodiff()), 1)
    }

    fn gradients(model: &DreamModule) -> GradientsParams {
        let device = Device::default().autodiff();
        let ids: Vec<i32> = (0..64).map(|i| i * i / 3 % 8).collect();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [8, 8]), &device);
        let loss = model.logits(model.forward(ids)).square().mean();
        GradientsParams::from_grads(loss.backward(), model)
    }

    fn train(
        workers: usize,
        factor: f64,
    ) -> std::collections::BTreeMap<String, crate::tensors::Stored> {
        let mut model = model();
        let mut optimizer = Optimizer::new(&model, OptimizerOptions::default());
        for _ in 0..3 {
            let gradients = gradients(&model);
            model = optimizer.step(model, gradients, factor, workers).unwrap();
        }
        export(&model, str::to_owned)
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let one = train(1, 1.0);
        assert_eq!(one, train(2, 1.0));
        assert_eq!(one, train(7, 1.0));
        assert_ne!(one, train(1, 0.5));
    }

    #[test]
    fn every_parameter_belongs_to_one_share_and_moves() {
        let model = model();
        let optimizer = Optimizer::new(&model, OptimizerOptions::default());
        for param in params::list(&model) {
            assert_eq!(
                optimizer.shares.iter().filter(|s| s.ids.contains(&param.id)).count(),
                1,
                "{}",
                param.path
            );
        }
        let (before, after) = (export(&model, str::to_owned), train(2, 1.0));
        // Softmax ignores a constant added to all its scores, so that key biases alone have no gradient.
        let still: Vec<_> = before.keys().filter(|name| before[*name] == after[*name]).collect();
        assert!(still.iter().all(|name| name.ends_with("k_proj.bias")), "{still:?}");
    }

    #[test]
    fn muon_updates_have_the_promised_size() {
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
        // Newton and Schulz's iteration brings singular values to between 0.7 and 1.2, not to 1.
        assert!((0.014..0.024).contains(&size), "{size}");
    }
}
