//! The networks agree with the reference implementations: transformers, and the published sampler.

use burn::tensor::{Device, Tensor, TensorData};

use super::checkpoint;
use super::sampler::SamplerModule;
use super::tables::Tables;
use super::testing::{self, fixture};

#[test]
fn hidden_states_and_logits_of_dream_agree() {
    let device = Device::default();
    let model = checkpoint::load(&fixture("dream-tiny"), &device).unwrap();
    let reference = fixture("dream-tiny").join("reference.safetensors");
    let hidden = model.forward(testing::ids(&reference, "input_ids", &device));
    testing::assert_close(&hidden, &reference, "hidden", 1e-4);
    testing::assert_close(&model.logits(hidden), &reference, "logits", 1e-4);
}

#[test]
fn every_position_attends_to_every_other() {
    let device = Device::default();
    let model = checkpoint::load(&fixture("dream-tiny"), &device).unwrap();
    let hidden = |ids: [i32; 4]| {
        let hidden =
            model.forward(Tensor::from_data(TensorData::new(ids.to_vec(), [1, 4]), &device));
        hidden.into_data().iter::<f32>().collect::<Vec<_>>()
    };
    let (a, b) = (hidden([1, 2, 3, 4]), hidden([1, 2, 3, 5]));
    let width = model.config().hidden_size;
    assert!(a.chunks(width).zip(b.chunks(width)).all(|(a, b)| a != b));
}

#[test]
fn three_chained_passes_of_the_sampler_layer_agree() {
    let device = Device::default();
    let base = checkpoint::load(&fixture("dream-tiny"), &device).unwrap();
    let path = fixture("adjust-dream-tiny").join("model.safetensors");
    let layer = SamplerModule::load(&path, base.config(), &device).unwrap();
    let reference = fixture("adjust-dream-tiny").join("reference.safetensors");
    let mut hidden = testing::tensor::<3>(&reference, "step0.hidden", &device);
    for step in 1..=3 {
        let ids = testing::ids(&reference, &format!("step{step}.input_ids"), &device);
        hidden = layer.forward(base.embed(ids), hidden);
        testing::assert_close(&hidden, &reference, &format!("step{step}.hidden"), 1e-4);
        testing::assert_close(
            &base.logits(hidden.clone()),
            &reference,
            &format!("step{step}.logits"),
            1e-4,
        );
    }
}

/// Logits from the reference's hidden states: each activation of a head, with and without biases, tied and untied.
#[test]
fn heads_of_encoders_agree() {
    let device = Device::default();
    for name in ["bert-tiny", "bert-untied", "albert-tiny", "modernbert-tiny", "modernbert-biased"]
    {
        let tables = Tables::read(&fixture(name), &device).unwrap();
        let reference = fixture(name).join("reference.safetensors");
        let hidden = testing::tensor::<3>(&reference, "hidden", &device);
        let [batch, length, width] = hidden.dims();
        let head = tables.on(&device).head().clone();
        let logits = head.logits(hidden.reshape([batch * length, width]));
        let vocabulary = logits.dims()[1];
        let logits = logits.reshape([batch, length, vocabulary]);
        testing::assert_close(&logits, &reference, "logits", 1e-4);
    }
}

/// The tables multiply a factorised embedding out; the reference passed such rows to its layer.
#[test]
fn the_sampler_layer_of_an_encoder_agrees() {
    let device = Device::default();
    let tables = Tables::read(&fixture("albert-tiny"), &device).unwrap();
    let config = tables.config();
    assert_eq!((config.hidden_size, config.intermediate_size, config.qkv_bias), (16, 24, true));
    assert_eq!((config.rope_theta, config.rms_norm_eps as f32), (1e4, 1e-6));
    let folder = fixture("adjust-albert-tiny");
    let layer = SamplerModule::load(&folder.join("model.safetensors"), config, &device).unwrap();
    let reference = folder.join("reference.safetensors");
    let mut hidden = testing::tensor::<3>(&reference, "step0.hidden", &device);
    for step in 1..=3 {
        let ids = testing::ids(&reference, &format!("step{step}.input_ids"), &device);
        hidden = layer.forward(tables.embed(ids), hidden);
        testing::assert_close(&hidden, &reference, &format!("step{step}.hidden"), 1e-4);
        let [batch, length, width] = hidden.dims();
        let logits = tables.head().logits(hidden.clone().reshape([batch * length, width]));
        let logits = logits.reshape([batch, length, config.vocab_size]);
        testing::assert_close(&logits, &reference, &format!("step{step}.logits"), 1e-4);
    }
}
