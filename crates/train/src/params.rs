//! Walking over a module's parameters: initialising, collecting, replacing and averaging them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A parameter's place in its module: id, path such as `layers.0.mlp.up_proj.weight`, and shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParamInfo {
    pub id: ParamId,
    pub path: String,
    pub shape: Vec<usize>,
}

/// Every parameter of `module`, in the module's own order.
pub(crate) fn list(module: &impl Module) -> Vec<ParamInfo> {
    #[derive(Default)]
    struct Lister {
        path: Vec<String>,
        found: Vec<ParamInfo>,
    }
    impl ModuleVisitor for Lister {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.val().dims().to_vec();
            self.found.push(ParamInfo { id: param.id, path: self.path.join("."), shape });
        }
    }
    let mut lister = Lister::default();
    module.visit(&mut lister);
    lister.found
}

/// Fresh weights for `module`, the same ones for the same seed.
///
/// Norm gains are one, biases zero, the embedding is normal with variance 1/D; every other matrix
/// [in, out] is uniform on ±1/√in. What writes to a residual stream starts at zero, so that each
/// decoder layer starts as the identity, and so does the sampler layer.
pub fn init<M: Module>(module: M, seed: u64) -> M {
    struct Initializer {
        path: Vec<String>,
        rng: ChaCha8Rng,
    }
    impl Initializer {
        fn values(&mut self, shape: &[usize]) -> Vec<f32> {
            let count = shape.iter().product();
            let name = |suffix: &str| self.path.iter().rev().nth(1).is_some_and(|n| n == suffix);
            let embedding = name("embed_tokens");
            let residual = name("o_proj") || name("down_proj") || name("norm_postattn");
            match self.path.last().map(String::as_str) {
                Some("bias") => vec![0.0; count],
                _ if residual => vec![0.0; count],
                Some("gamma") => vec![1.0; count],
                _ if embedding => {
                    let scale = (shape[1] as f32).sqrt().recip();
                    (0..count).map(|_| scale * normal(&mut self.rng)).collect()
                }
                _ => {
                    let bound = (shape[0] as f32).sqrt().recip();
                    (0..count).map(|_| self.rng.random_range(-bound..bound)).collect()
                }
            }
        }
    }
    impl ModuleMapper for Initializer {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, old, mapper) = param.consume();
            let shape = old.dims();
            let new = Tensor::from_data(TensorData::new(self.values(&shape), shape), &old.device());
            Param::from_mapped_value(id, new.set_require_grad(old.is_require_grad()), mapper)
        }
    }
    module.map(&mut Initializer { path: Vec::new(), rng: ChaCha8Rng::seed_from_u64(seed) })
}

/// One standard normal number (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

/// The values of `module`'s parameters for which `wanted` holds, by id, outside any gradient graph.
pub(crate) fn values<M: Module>(module: &M, wanted: impl Fn(ParamId) -> bool) -> GradientsParams {
    struct Collector<F> {
        wanted: F,
        values: GradientsParams,
    }
    impl<F: Fn(ParamId) -> bool> ModuleVisitor for Collector<F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if (self.wanted)(param.id) {
                self.values.register(param.id, param.val().inner());
            }
        }
    }
    let mut collector = Collector { wanted, values: GradientsParams::new() };
    module.visit(&mut collector);
    collector.values
}

/// `module` with each parameter that has a value in `values` set to it, and trainable as before.
pub(crate) fn replace<M: Module>(module: M, values: &mut GradientsParams) -> M {
    struct Replacer<'a>(&'a mut GradientsParams);
    impl ModuleMapper for Replacer<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(value) = self.0.remove::<D>(param.id) else { return param };
            let (id, old, mapper) = param.consume();
            let value = Tensor::from_inner(value).set_require_grad(old.is_require_grad());
            Param::from_mapped_value(id, value, mapper)
        }
    }
    module.map(&mut Replacer(values))
}

/// The moving average `decay · average + (1 − decay) · module` over every parameter.
pub(crate) fn average<M: Module>(average: M, module: &M, decay: f64) -> M {
    struct Blender {
        values: GradientsParams,
        decay: f64,
    }
    impl ModuleMapper for Blender {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(value) = self.values.remove::<D>(param.id) else { return param };
            let (id, old, mapper) = param.consume();
            let blended = old.mul_scalar(self.decay) + value.mul_scalar(1.0 - self.decay);
            Param::from_mapped_value(id, blended, mapper)
        }
    }
    average.map(&mut Blender { values: values(module, |_| true), decay })
}

/// The Euclidean norm of all gradients of `module` together.
pub(crate) fn gradient_norm<M: Module>(module: &M, gradients: &GradientsParams) -> f64 {
    struct Norm<'a> {
        gradients: &'a GradientsParams,
        squares: f64,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.squares += gradient.square().sum().into_scalar::<f32>() as f64;
            }
        }
    }
    let mut norm = Norm { gradients, squares: 0.0 };
    module.visit(&mut norm);
    norm.squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dream::DreamModule;
    use crate::tensors::export;
    use crate::testing::tiny_config;
    use burn::tensor::Device;

    fn model(seed: u64) -> DreamModule {
        init(DreamModule::tied(&tiny_config(), &Device::default().autodiff()), seed)
    }

    fn weights(model: &DreamModule) -> Vec<f32> {
        export(model, str::to_owned).into_values().flat_map(|tensor| tensor.values).collect()
    }

    #[test]
    fn a_seed_decides_the_weights() {
        assert_eq!(weights(&model(1)), weights(&model(1)));
        assert_ne!(weights(&model(1)), weights(&model(2)));
    }

    #[test]
    fn embeddings_have_unit_scale_after_the_scaling() {
        let model = model(1);
        let embedding: Vec<f32> = model.embed_tokens.weight.val().into_data().iter().collect();
        let mean_square = embedding.iter().map(|x| x * x).sum::<f32>() / embedding.len() as f32;
        let scaled = model.embed_scale().powi(2) * mean_square;
        // 128 normal numbers: the standard deviation of their mean square is 1/8.
        assert!((scaled - 1.0).abs() < 0.5, "{scaled}");
    }

    #[test]
    fn the_average_is_weighted_and_ends_at_the_module() {
        struct OneHigher(GradientsParams);
        impl ModuleVisitor for OneHigher {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.register(param.id, param.val().inner().add_scalar(1.0));
            }
        }
        let start = model(1);
        let mut higher = OneHigher(GradientsParams::new());
        start.visit(&mut higher);
        let end = replace(start.clone(), &mut higher.0);
        let blended = weights(&average(start.valid(), &end, 0.75));
        for (blended, start) in blended.iter().zip(weights(&start)) {
            assert!((blended - start - 0.25).abs() < 1e-6);
        }
        assert_eq!(weights(&average(start.valid(), &end, 0.0)), weights(&end));
    }

    #[test]
    fn paths_name_every_parameter_once() {
        let listed = list(&model(1));
        let count: usize = listed.iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(count, model(1).num_params());
        assert!(
            listed.iter().any(|p| p.path == "layers.1.self_attn.k_proj.bias" && p.shape == [8])
        );
    }
}
