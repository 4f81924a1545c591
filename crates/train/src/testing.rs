//! What the tests of several modules share.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use conjoint_trajectory::Trajectory;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

use crate::TrainError;
use crate::base::BaseOptions;
use crate::config::DreamConfig;
use crate::log::read_log;
use crate::options::{OptimizerOptions, RunOptions};
use crate::params;
use crate::tensors;
use crate::tokenizer::CharTokenizer;

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

/// A model of a few thousand weights: D 16, 2 layers, 4 heads over 2, V 8 with mask 6 and end 7.
pub(crate) fn tiny_config() -> DreamConfig {
    DreamConfig {
        vocab_size: 8,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        rms_norm_eps: 1e-6,
        rope_theta: 1e4,
        max_position_embeddings: 8,
        mask_token_id: 6,
        eos_token_id: 7,
        pad_token_id: 7,
        bos_token_id: 7,
        tie_word_embeddings: false,
        qkv_bias: true,
    }
}

/// `module` with fresh weights none of which is zero, so that no part of it is the identity.
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
    params::init(module, seed).map(&mut Shaker(ChaCha8Rng::seed_from_u64(seed)))
}

/// Rows of eight ids below `symbols` in which the second half repeats the first, shifted by one.
pub(crate) fn echo(symbols: u32) -> impl Fn(u64) -> Result<Vec<u32>, TrainError> + Sync {
    move |index| {
        let digit =
            |place: u32| ((index / u64::from(symbols.pow(place))) % u64::from(symbols)) as u32;
        let first = (0..4).map(digit);
        Ok(first.clone().chain(first.map(|d| (d + 1) % symbols)).collect())
    }
}

/// Trajectories over [`echo`] rows in various orders.
pub(crate) fn trajectories(count: u64) -> Vec<Trajectory> {
    let trajectory = |i: u64| {
        let order = (0..8).map(|k| ((k * 3 + i) % 8) as u32).collect();
        Trajectory { index: i, prompt_len: 0, tokens: echo(5)(i * 37).unwrap(), order }
    };
    (0..count).map(trajectory).collect()
}

/// A run of `steps` steps of a model of a few thousand weights, on two threads.
pub(crate) fn tiny_run(dir: &Path, steps: u64) -> BaseOptions {
    let optimizer = OptimizerOptions {
        muon_rate: 0.02,
        adamw_rate: 0.02,
        warmup_steps: 5,
        ..Default::default()
    };
    let run = RunOptions {
        dir: dir.into(),
        max_steps: Some(steps),
        max_minutes: None,
        batch: 6,
        workers: 2,
        checkpoint_minutes: 1e9,
        log_every: 1,
        average_decay: 0.9,
        progress: false,
        optimizer,
        ..RunOptions::default()
    };
    BaseOptions {
        hidden_size: 16,
        layers: 2,
        intermediate_size: 24,
        length: 8,
        prompt: 0,
        validation_rows: 40,
        run,
        ..BaseOptions::default()
    }
}

/// A tokenizer of four letters, whose ids are 2 to 5.
pub(crate) fn letter_tokenizer() -> CharTokenizer {
    CharTokenizer::new("abcd", &[]).unwrap()
}

/// [`echo`] over the four letters.
pub(crate) fn letters(index: u64) -> Result<Vec<u32>, TrainError> {
    Ok(echo(4)(index)?.into_iter().map(|id| id + 2).collect())
}

/// The losses in the log of `dir`.
pub(crate) fn losses(dir: &Path) -> Vec<f64> {
    read_log(&dir.join("log.jsonl")).unwrap().iter().map(|record| record.loss).collect()
}
