//! Helpers that the tests of several modules share.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

use super::config::DreamConfig;
use super::dream::DreamModule;
use super::init::init;
use super::tensors;
use crate::error::TrainError;

/// A folder of the reference fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    conjoint_models::fixture(name)
}

/// A float tensor of a safetensors file.
pub(crate) fn tensor<const D: usize>(path: &Path, name: &str, device: &Device) -> Tensor<D> {
    let stored = tensors::read_tensors(path).unwrap().remove(name).unwrap();
    Tensor::from_data(TensorData::new(stored.values, stored.shape), device)
}

/// An i64 matrix of a safetensors file.
pub(crate) fn ids(path: &Path, name: &str, device: &Device) -> Tensor<2, Int> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let id = |b: &[u8]| i64::from_le_bytes(b.try_into().unwrap()) as i32;
    let ids: Vec<i32> = view.data().chunks_exact(8).map(id).collect();
    Tensor::from_data(TensorData::new(ids, view.shape().to_vec()), device)
}

/// Fails unless `got` is tensor `name` of `path` up to `tolerance` everywhere.
pub(crate) fn assert_close<const D: usize>(
    got: &Tensor<D>,
    path: &Path,
    name: &str,
    tolerance: f32,
) {
    let expected = tensor::<D>(path, name, &got.device());
    let worst: f32 = (got.clone() - expected).abs().max().into_scalar();
    assert!(worst <= tolerance, "{name} is off by {worst}");
}

/// A small tied model on the processor, with gradients.
pub(crate) fn tied(seed: u64) -> DreamModule {
    init(DreamModule::tied(&DreamConfig::tiny(), &Device::default().autodiff()), seed)
}

/// All weights of a model, in the order of their names.
pub(crate) fn weights(model: &DreamModule) -> Vec<f32> {
    tensors::export(model, str::to_owned).into_values().flat_map(|tensor| tensor.values).collect()
}

/// Fresh weights for `module`, all nonzero, so that no part of it is the identity.
pub(crate) fn shaken<M: Module>(module: M, seed: u64) -> M {
    struct Shaker(ChaCha8Rng);
    impl ModuleMapper for Shaker {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, old, mapper) = param.consume();
            let noise = (0..old.shape().num_elements())
                .map(|_| self.0.random_range(-0.3f32..0.3))
                .collect();
            let noise =
                Tensor::from_data(TensorData::new(noise, old.dims()), &old.device().inner());
            let new = Tensor::from_inner(old.clone().inner() + noise);
            let new = if old.is_autodiff() { new.set_require_grad(true) } else { new.inner() };
            Param::from_mapped_value(id, new, mapper)
        }
    }
    init(module, seed).map(&mut Shaker(ChaCha8Rng::seed_from_u64(seed)))
}

/// A source of rows of eight ids below `symbols`. The second half of a row repeats the first, each id plus one.
pub(crate) fn echo(symbols: u32) -> impl Fn(u64) -> Result<Vec<u32>, TrainError> + Sync {
    move |index| {
        let digit =
            |place: u32| ((index / u64::from(symbols.pow(place))) % u64::from(symbols)) as u32;
        let first = (0..4).map(digit);
        Ok(first.clone().chain(first.map(|d| (d + 1) % symbols)).collect())
    }
}
