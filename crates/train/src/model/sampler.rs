//! The sampler layer, which draws several dependent tokens from one forward pass of the frozen model.

use std::path::Path;

use burn::module::Module;
use burn::nn::{Linear, RmsNorm};
use burn::tensor::{Device, Tensor};
use conjoint_format::SamplerForm;

use super::config::DreamConfig;
use super::decoder::{DecoderLayer, Rotary, linear, rms_norm};
use super::tensors::{self, Precision};
use crate::error::TrainError;

/// A small layer that updates the hidden states after tokens were revealed:
///
/// ```text
/// z  = layers(down_project([norm_embed(e) ; norm_hidden(h)]))
/// h' = h + norm_postattn(z)
/// ```
///
/// Here e is the frozen model's embedding of the current tokens, and h are the current hidden states, after Dream's
/// shift. The published samplers have one decoder layer.
///
/// Source: approximate joint sampling, arXiv 2509.22738.
#[doc(alias = "drafter")]
#[doc(alias = "self-speculation")]
#[derive(Module, Debug)]
pub struct SamplerModule {
    /// Norm of the embeddings.
    pub norm_embed: RmsNorm,
    /// Norm of the current hidden states.
    pub norm_hidden: RmsNorm,
    /// Projects both to the model's width, `2D → D`, with bias.
    pub down_project: Linear,
    /// Decoder layers of the frozen model's kind, applied in turn.
    pub layers: Vec<DecoderLayer>,
    /// Norm of the update. With gains of 0 the sampler layer is the identity.
    pub norm_postattn: RmsNorm,
    #[module(skip)]
    config: DreamConfig,
}

impl SamplerModule {
    /// A sampler of `layers` decoder layers for the model `config`, with all weights zero. After
    /// [`init`](super::init()) it is the identity on the hidden states.
    pub fn new(config: &DreamConfig, layers: usize, device: &Device) -> Self {
        let width = config.hidden_size;
        Self {
            norm_embed: rms_norm(config, device),
            norm_hidden: rms_norm(config, device),
            down_project: linear(2 * width, width, true, device),
            layers: (0..layers).map(|_| DecoderLayer::new(config, device)).collect(),
            norm_postattn: rms_norm(config, device),
            config: config.clone(),
        }
    }

    /// The weights' device.
    pub fn device(&self) -> Device {
        self.norm_embed.gamma.device()
    }

    /// Sets all gains of the last norm to `gain`.
    pub fn with_gain(mut self, gain: f64) -> Self {
        self.norm_postattn.gamma = self
            .norm_postattn
            .gamma
            .map(|old| old.full_like(gain).set_require_grad(old.is_require_grad()));
        self
    }

    /// Embeddings of the current tokens [B, T, D] and current hidden states [B, T, D] → updated hidden states
    /// [B, T, D].
    pub fn forward(&self, embedded: Tensor<3>, hidden: Tensor<3>) -> Tensor<3> {
        let rotary = self.rotary(hidden.dims()[1]);
        let mut update = self.fuse(embedded, hidden.clone());
        for layer in &self.layers {
            update = layer.forward(update, &rotary);
        }
        hidden + self.norm_postattn.forward(update)
    }

    /// The decoder layers' input: embeddings and hidden states, each [B, S, D] → [B, S, D].
    pub(crate) fn fuse(&self, embedded: Tensor<3>, hidden: Tensor<3>) -> Tensor<3> {
        let both = vec![self.norm_embed.forward(embedded), self.norm_hidden.forward(hidden)];
        self.down_project.forward(Tensor::cat(both, 2))
    }

    /// The rotary embedding of the positions `0..length`.
    pub(crate) fn rotary(&self, length: usize) -> Rotary {
        Rotary::new(&self.config, length, &self.device())
    }

    /// Writes the layer to `path`, a safetensors file with the published names `drafter.*`. The metadata record whether
    /// its passes are over rows.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(
        &self,
        path: &Path,
        precision: Precision,
        form: SamplerForm,
    ) -> Result<(), TrainError> {
        let rows = SamplerForm::Rows.to_string();
        let entry = match form {
            SamplerForm::Sequence => tensors::FOR_PYTORCH,
            SamplerForm::Rows => (SamplerForm::KEY, rows.as_str()),
        };
        tensors::write_tensors(tensors::export(self, published_name), path, precision, entry)
    }

    /// Reads a layer for the model `config` from `path`, and ignores other tensors in the file.
    ///
    /// # Errors
    ///
    /// The file is missing or malformed, or a tensor is missing or of the wrong shape.
    pub fn load(path: &Path, config: &DreamConfig, device: &Device) -> Result<Self, TrainError> {
        let tensors = tensors::read_tensors(path)?;
        let has = |layer: &usize| {
            let prefix = format!("drafter.layers.0.{layer}.");
            tensors.keys().any(|name| name.starts_with(&prefix))
        };
        // At least one, so that the error for a file without layers names a missing tensor.
        let layers = (0..).take_while(has).count().max(1);
        tensors::import(Self::new(config, layers, device), &tensors, published_name, path)
    }
}

/// `norm_embed.gamma` → `drafter.norm_embed.0.weight`, `layers.0.mlp…` → `drafter.layers.0.0.mlp…`.
fn published_name(path: &str) -> String {
    let path = tensors::checkpoint_name(path);
    match path.split_once('.') {
        Some(("layers", rest)) => format!("drafter.layers.0.{rest}"),
        Some((part, rest)) => format!("drafter.{part}.0.{rest}"),
        None => format!("drafter.{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::init::init;
    use crate::model::testing::fixture;
    use burn::tensor::Distribution;

    #[test]
    fn a_fresh_layer_is_the_identity() {
        let device = Device::default();
        let layer = init(SamplerModule::new(&DreamConfig::tiny(), 2, &device), 3);
        let random = || Tensor::<3>::random([2, 7, 16], Distribution::Normal(0.0, 1.0), &device);
        let hidden = random();
        assert_eq!(layer.forward(random(), hidden.clone()).to_data(), hidden.to_data());
    }

    #[test]
    fn a_gain_is_the_size_of_the_first_change() {
        let device = Device::default();
        let layer = init(SamplerModule::new(&DreamConfig::tiny(), 1, &device), 3);
        let random = || Tensor::<3>::random([2, 7, 16], Distribution::Normal(0.0, 1.0), &device);
        let (embedded, hidden) = (random(), random());
        let change = layer.with_gain(2.0).forward(embedded, hidden.clone()) - hidden;
        // A norm's output has a root mean square of its gain.
        let size = (change.powi_scalar(2).mean().into_scalar::<f32>()).sqrt();
        assert!((size - 2.0).abs() < 1e-2, "{size}");
    }

    #[test]
    fn a_saved_layer_reads_back_the_same() {
        let (device, config) = (Device::default(), DreamConfig::tiny());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        for layers in [2, 1] {
            let layer = init(SamplerModule::new(&config, layers, &device), 3);
            layer.save(&path, Precision::F32, SamplerForm::Rows).unwrap();
            let once = std::fs::read(&path).unwrap();
            layer.save(&path, Precision::F32, SamplerForm::Rows).unwrap();
            assert!(std::fs::read(&path).unwrap() == once, "the same weights gave other bytes");
            let back = SamplerModule::load(&path, &config, &device).unwrap();
            let tensors = |of: &SamplerModule| tensors::export(of, str::to_owned);
            assert_eq!((tensors(&layer), layers), (tensors(&back), back.layers.len()));
        }
        let names = tensors::read_tensors(&path).unwrap();
        let published =
            tensors::read_tensors(&fixture("adjust-dream-tiny").join("model.safetensors")).unwrap();
        assert!(
            published.keys().all(|name| names.contains_key(name)) && names.len() == published.len()
        );
    }
}
