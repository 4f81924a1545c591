//! Fresh weights.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Draws fresh weights for `module`; equal seeds give equal weights.
///
/// Norm gains are 1 and biases 0. The embedding is normal with variance 1/D. Every other matrix [in, out] is uniform on
/// ±1/√in, except those that write to a residual stream, which start at 0. So each decoder layer and the sampler layer
/// start as the identity.
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

/// Draws a standard normal number by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use crate::model::testing::{tied, weights};

    #[test]
    fn the_seed_determines_the_weights() {
        assert_eq!(weights(&tied(1)), weights(&tied(1)));
        assert_ne!(weights(&tied(1)), weights(&tied(2)));
    }

    #[test]
    fn scaled_embeddings_have_unit_variance() {
        let model = tied(1);
        let embedding: Vec<f32> = model.embed_tokens.weight.val().into_data().iter().collect();
        let mean_square = embedding.iter().map(|x| x * x).sum::<f32>() / embedding.len() as f32;
        let scaled = model.embed_scale().powi(2) * mean_square;
        // 128 normal numbers: the standard deviation of their mean square is 1/8.
        assert!((scaled - 1.0).abs() < 0.5, "{scaled}");
    }
}
