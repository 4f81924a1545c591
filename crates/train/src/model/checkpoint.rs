//! Checkpoint folders: `config.json` and `model.safetensors` under Qwen2's tensor names.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::config::DreamConfig;
use super::dream::DreamModule;
use super::tensors::{
    FOR_PYTORCH, Precision, Stored, checkpoint_name, export, import, read_tensors, write_tensors,
};
use crate::error::TrainError;
use crate::files;

/// Writes `model` as an untied Dream checkpoint into the folder `dir`.
///
/// # Errors
///
/// The files cannot be written.
pub fn save(model: &DreamModule, dir: &Path, precision: Precision) -> Result<(), TrainError> {
    let mut tensors = export(model, tensor_name);
    if model.lm_head.is_none() {
        let embedding = &model.embed_tokens.weight;
        tensors.insert("lm_head.weight".into(), Stored::new(&embedding.val()));
        let scaled = embedding.val().mul_scalar(model.embed_scale());
        tensors.insert("model.embed_tokens.weight".into(), Stored::new(&scaled));
    }
    write_tensors(tensors, &dir.join("model.safetensors"), precision, FOR_PYTORCH)?;
    let json = config_json(model.config(), precision);
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(&json).map_err(|e| TrainError::malformed(&path, e))?;
    files::write(&path, text.as_bytes())
}

/// Reads the Dream checkpoint in `dir`, tied or not, as an untied model on `device`.
///
/// # Errors
///
/// A file is missing or malformed, or a tensor is missing or has the wrong shape.
pub fn load(dir: &Path, device: &Device) -> Result<DreamModule, TrainError> {
    let config = load_config(dir)?;
    let path = dir.join("model.safetensors");
    let mut tensors = read_tensors(&path)?;
    if config.tie_word_embeddings
        && let Some(embedding) = tensors.get("model.embed_tokens.weight").cloned()
    {
        tensors.entry("lm_head.weight".into()).or_insert(embedding);
    }
    import(DreamModule::untied(&config, device), &tensors, tensor_name, &path)
}

/// Reads the checkpoint in `dir` as a tied model. [`save`] must have written it from a tied model.
///
/// # Errors
///
/// As [`load`], or the head is not the embedding divided by √D.
pub fn load_tied(dir: &Path, device: &Device) -> Result<DreamModule, TrainError> {
    let config = load_config(dir)?;
    let path = dir.join("model.safetensors");
    let mut tensors = read_tensors(&path)?;
    let model = DreamModule::tied(&config, device);
    let [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"].map(|name| {
        let missing = || TrainError::MissingTensor { path: path.clone(), name: name.into() };
        tensors.get(name).cloned().ok_or_else(missing)
    });
    let (embedding, head) = (embedding?, head?);
    let scale = model.embed_scale();
    // Both may have been rounded to 16 bits.
    let near = |(e, h): (&f32, &f32)| (e - scale * h).abs() <= 2e-3 * e.abs() + 1e-5;
    if embedding.shape != head.shape || !embedding.values.iter().zip(&head.values).all(near) {
        let reason = "its head is not its embedding divided by √D: the checkpoint was not trained with tied embeddings";
        return Err(TrainError::malformed(&path, reason));
    }
    tensors.insert("model.embed_tokens.weight".into(), head);
    import(model, &tensors, tensor_name, &path)
}

/// Reads `dir`'s `config.json`.
///
/// # Errors
///
/// The file is missing or malformed, or its sizes are inconsistent.
pub fn load_config(dir: &Path) -> Result<DreamConfig, TrainError> {
    let path = dir.join("config.json");
    let config: DreamConfig = files::read_json(&path)?;
    config.validate()?;
    Ok(config)
}

/// The checkpoint's name of a parameter of [`DreamModule`].
fn tensor_name(path: &str) -> String {
    match path {
        "lm_head" => "lm_head.weight".to_owned(),
        _ => format!("model.{}", checkpoint_name(path)),
    }
}

/// The `config.json` of an untied checkpoint. A block-causal model has the architecture of dLLM's conversions of Qwen2: that of Dream
/// without the shift.
fn config_json(config: &DreamConfig, precision: Precision) -> Value {
    let (architecture, model_type) = match config.block_size {
        None => ("DreamModel", "Dream"),
        Some(_) => ("A2DQwen2LMHeadModel", "a2d-qwen2"),
    };
    let mut json = json!({
        "architectures": [architecture],
        "model_type": model_type,
        "hidden_act": "silu",
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "torch_dtype": match precision { Precision::F32 => "float32", Precision::F16 => "float16" },
        "use_sliding_window": false,
        "attention_dropout": 0.0,
        "rope_scaling": null,
        "max_window_layers": config.num_hidden_layers,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "max_position_embeddings": config.max_position_embeddings,
        "mask_token_id": config.mask_token_id,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": false,
    });
    if let Some(block) = config.block_size {
        json["block_size"] = block.into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{fixture, shaken};
    use burn::tensor::{Int, Tensor, TensorData};
    use std::collections::BTreeMap;

    fn logits(model: &DreamModule) -> Vec<f32> {
        let ids: Tensor<2, Int> =
            Tensor::from_data(TensorData::new(vec![1i32, 6, 6, 3], [1, 4]), &Device::default());
        model.logits(model.forward(ids)).into_data().iter().collect()
    }

    /// A tied model none of whose layers is the identity.
    fn model() -> DreamModule {
        shaken(DreamModule::tied(&DreamConfig::tiny(), &Device::default()), 1)
    }

    fn worst(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
    }

    #[test]
    fn a_tied_model_saved_untied_gives_the_same_logits() {
        let dir = tempfile::tempdir().unwrap();
        let model = model();
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::F16, 1e-2)] {
            save(&model, dir.path(), precision).unwrap();
            let back = load(dir.path(), &Device::default()).unwrap();
            assert!(worst(&logits(&model), &logits(&back)) < tolerance);
            let tied = load_tied(dir.path(), &Device::default()).unwrap();
            assert!(tied.lm_head.is_none());
            assert!(worst(&logits(&model), &logits(&tied)) < tolerance);
        }
        let stored = read_tensors(&dir.path().join("model.safetensors")).unwrap();
        let scaled = stored["lm_head.weight"].values.iter().map(|x| 4.0 * x).collect::<Vec<_>>();
        assert!(worst(&scaled, &stored["model.embed_tokens.weight"].values) < 1e-2);
    }

    #[test]
    fn an_untied_model_keeps_every_tensor_and_key() {
        let dir = tempfile::tempdir().unwrap();
        save(
            &load(&fixture("dream-tiny"), &Device::default()).unwrap(),
            dir.path(),
            Precision::F32,
        )
        .unwrap();
        let tensors = |dir: &Path| read_tensors(&dir.join("model.safetensors")).unwrap();
        assert_eq!(tensors(dir.path()), tensors(&fixture("dream-tiny")));
        let json = |dir: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap()
        };
        assert_eq!(json(dir.path()), json(&fixture("dream-tiny")));
    }

    #[test]
    fn load_tied_rejects_an_untied_checkpoint() {
        let error = load_tied(&fixture("dream-tiny"), &Device::default()).unwrap_err().to_string();
        assert!(error.contains("dream-tiny/model.safetensors: its head"), "{error}");
    }

    #[test]
    fn errors_name_missing_and_misshapen_tensors() {
        let dir = tempfile::tempdir().unwrap();
        save(&model(), dir.path(), Precision::F32).unwrap();
        let path = dir.path().join("model.safetensors");
        let load = || load(dir.path(), &Device::default()).map(drop);
        let write = |change: fn(&mut BTreeMap<String, Stored>)| {
            let mut tensors = read_tensors(&path).unwrap().into_iter().collect();
            change(&mut tensors);
            write_tensors(tensors, &path, Precision::F32, FOR_PYTORCH).unwrap();
        };
        write(|tensors| {
            tensors.insert(
                "model.norm.weight".into(),
                Stored { shape: vec![2], values: vec![1.0; 2] },
            );
        });
        assert!(
            matches!(load(), Err(TrainError::TensorShape { name, .. }) if name == "model.norm.weight")
        );
        write(|tensors| {
            tensors.remove("model.layers.1.mlp.up_proj.weight");
        });
        assert!(
            matches!(load(), Err(TrainError::MissingTensor { name, .. }) if name.contains("layers.1.mlp.up"))
        );
        std::fs::write(&path, b"no checkpoint").unwrap();
        assert!(matches!(load(), Err(TrainError::Malformed { .. })));
        std::fs::remove_file(dir.path().join("config.json")).unwrap();
        assert!(matches!(load(), Err(TrainError::Io { .. })));
    }
}
