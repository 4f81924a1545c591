//! Lists, collects, replaces and averages a module's parameters.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// A parameter's place in its module: id, path such as `layers.0.mlp.up_proj.weight`, and shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParamInfo {
    pub id: ParamId,
    pub path: String,
    pub shape: Vec<usize>,
}

/// Lists every parameter of `module`, in the module's order.
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

/// Collects the values of the parameters that `selects` accepts, by id, outside any gradient graph.
pub(crate) fn values<M: Module>(module: &M, selects: impl Fn(ParamId) -> bool) -> GradientsParams {
    struct Collector<F> {
        selects: F,
        values: GradientsParams,
    }
    impl<F: Fn(ParamId) -> bool> ModuleVisitor for Collector<F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if (self.selects)(param.id) {
                self.values.register(param.id, param.val().inner());
            }
        }
    }
    let mut collector = Collector { selects, values: GradientsParams::new() };
    module.visit(&mut collector);
    collector.values
}

/// Sets each parameter of `module` that has a value in `values`. Parameters stay trainable.
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
    use crate::model::testing::{tied, weights};

    #[test]
    fn the_average_is_weighted_and_can_equal_the_module() {
        struct OneHigher(GradientsParams);
        impl ModuleVisitor for OneHigher {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.register(param.id, param.val().inner().add_scalar(1.0));
            }
        }
        let start = tied(1);
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
        let listed = list(&tied(1));
        let count: usize = listed.iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(count, tied(1).num_params());
        assert!(
            listed.iter().any(|p| p.path == "layers.1.self_attn.k_proj.bias" && p.shape == [8])
        );
    }
}
