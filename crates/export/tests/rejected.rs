//! Invalid configurations and tensors, each with a broken checkpoint on disk.
//!
//! `checkpoint_error` and `export_error` also assert that the folder is unchanged.

mod common;

use std::fs;

use common::{
    assert_names, checkpoint_error, copy, edit_json, edit_tensors, export_error, fixture,
};
use conjoint_export::{ExportError, ExportOptions, FormatError, export};
use safetensors::tensor::Dtype;
use serde_json::json;

const WEIGHTS: &str = "model.safetensors";

#[test]
fn a_folder_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::MissingFile { .. })), "{error}");
    assert_names(&error, &["config.json"]);
}

#[test]
fn a_folder_that_does_not_exist() {
    let error = export(&ExportOptions::new("no/such/folder")).unwrap_err();
    assert!(matches!(error, ExportError::Format(FormatError::NotACheckpoint { .. })), "{error}");
    assert_names(&error, &["no/such/folder", "there is no such folder"]);
}

#[test]
fn a_configuration_that_is_not_json() {
    let folder = copy("dream-tiny");
    for text in ["", "{", "[]", "\"Dream\""] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::Json { .. })), "{error}");
        assert_names(&error, &["config.json"]);
    }
}

#[test]
fn an_architecture_that_is_not_known() {
    let folder = copy("dream-tiny");
    edit_json(&folder.path().join("config.json"), |config| {
        config["model_type"] = json!("mamba");
        config["architectures"] = json!(["MambaForCausalLM"]);
    });
    assert_names(&checkpoint_error(&folder), &["mamba", "MambaForCausalLM", "Dream", "llada"]);
}

#[test]
fn a_configuration_of_another_model() {
    for (key, value, tensor) in [
        ("hidden_size", json!(48), "model.embed_tokens.weight"),
        ("vocab_size", json!(97), "model.embed_tokens.weight"),
        ("intermediate_size", json!(57), "model.layers.0.mlp.gate_proj.weight"),
        ("num_key_value_heads", json!(4), "model.layers.0.self_attn.k_proj.weight"),
        ("head_dim", json!(16), "model.layers.0.self_attn.q_proj.weight"),
    ] {
        let folder = copy("dream-tiny");
        edit_json(&folder.path().join("config.json"), |config| config[key] = value);
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::TensorShape { .. })), "{error}");
        assert_names(&error, &[tensor, WEIGHTS]);
    }
}

#[test]
fn more_or_fewer_layers_than_the_configuration_says() {
    for (layers, tensor) in [(3, "model.layers.2."), (1, "model.layers.1.")] {
        let folder = copy("dream-tiny");
        edit_json(&folder.path().join("config.json"), |config| {
            config["num_hidden_layers"] = json!(layers);
        });
        assert_names(&checkpoint_error(&folder), &[tensor]);
    }
}

#[test]
fn a_tensor_that_is_missing() {
    for tensor in ["model.norm.weight", "lm_head.weight", "model.layers.1.self_attn.q_proj.bias"] {
        let folder = copy("dream-tiny");
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove(tensor)));
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::MissingTensor { .. })), "{error}");
        assert_names(&error, &[tensor]);
    }
}

#[test]
fn a_tensor_of_another_shape() {
    let folder = copy("llada-tiny");
    let name = "model.transformer.blocks.1.ff_out.weight";
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.get_mut(name).unwrap().1.reverse();
    });
    assert_names(&checkpoint_error(&folder), &[name, "[80, 48]", "[48, 80]", WEIGHTS]);
}

#[test]
fn a_tensor_of_another_type() {
    let folder = copy("dream-tiny");
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.get_mut("model.norm.weight").unwrap().0 = Dtype::I32;
    });
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::TensorType { .. })), "{error}");
    assert_names(&error, &["model.norm.weight", "I32", WEIGHTS]);
}

#[test]
fn a_tensor_that_the_graph_would_ignore() {
    let folder = copy("dream-tiny");
    let name = "model.layers.0.self_attn.o_proj.bias";
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.insert(name.into(), (Dtype::F32, vec![32], vec![0; 128]));
    });
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::UnexpectedTensor { .. })), "{error}");
    assert_names(&error, &[name, WEIGHTS]);
}

#[test]
fn an_encoder_without_its_head_or_with_other_sizes() {
    let missing = |name: &str, tensor: &str| {
        let folder = copy(name);
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove(tensor)));
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::MissingTensor { .. })), "{error}");
        assert_names(&error, &[tensor]);
    };
    missing("bert-tiny", "cls.predictions.transform.dense.weight");
    missing("bert-tiny", "bert.encoder.layer.1.output.LayerNorm.bias");
    missing("bert-untied", "cls.predictions.decoder.weight");
    missing("albert-tiny", "albert.encoder.embedding_hidden_mapping_in.bias");
    missing("albert-tiny", "predictions.bias");
    missing("modernbert-tiny", "decoder.bias");
    missing("modernbert-biased", "model.layers.1.mlp.Wi.bias");
    for (name, key, value, tensor) in [
        ("bert-tiny", "type_vocab_size", 3, "bert.embeddings.token_type_embeddings.weight"),
        ("bert-tiny", "max_position_embeddings", 25, "bert.embeddings.position_embeddings.weight"),
        ("albert-tiny", "embedding_size", 16, "albert.embeddings.word_embeddings.weight"),
        ("modernbert-tiny", "intermediate_size", 24, "model.layers.0.mlp.Wi.weight"),
    ] {
        let folder = copy(name);
        edit_json(&folder.path().join("config.json"), |config| config[key] = json!(value));
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::Format(FormatError::TensorShape { .. })), "{error}");
        assert_names(&error, &[tensor]);
    }
}

/// A layer that a configuration leaves out, and a group that no layer belongs to.
#[test]
fn tensors_of_an_encoder_that_the_graph_would_ignore() {
    for (name, key, value, tensor) in [
        ("bert-tiny", "num_hidden_layers", json!(1), "bert.encoder.layer.1."),
        ("albert-tiny", "num_hidden_groups", json!(1), "albert_layer_groups.1."),
        ("albert-tiny", "inner_group_num", json!(1), "albert_layer_groups.0.albert_layers.1."),
        ("modernbert-biased", "norm_bias", json!(false), "norm.bias"),
        ("modernbert-tiny", "decoder_bias", json!(false), "decoder.bias"),
    ] {
        let folder = copy(name);
        edit_json(&folder.path().join("config.json"), |config| config[key] = value);
        let error = checkpoint_error(&folder);
        assert!(
            matches!(error, ExportError::Format(FormatError::UnexpectedTensor { .. })),
            "{error}"
        );
        assert_names(&error, &[tensor, WEIGHTS]);
    }
}

#[test]
fn names_behind_a_prefix() {
    let folder = copy("dream-tiny");
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (format!("module.{name}"), tensor))
            .collect();
    });
    let parts = ["model.embed_tokens.weight", "module.model.embed_tokens.weight", "prefix"];
    assert_names(&checkpoint_error(&folder), &parts);
}

#[test]
fn a_causal_model_whose_files_name_no_mask() {
    let folder = copy("dream-tiny");
    edit_json(&folder.path().join("config.json"), |config| {
        config["model_type"] = json!("qwen2");
        config["architectures"] = json!(["Qwen2ForCausalLM"]);
    });
    // With a mask it may be a diffusion model, with or without a shift.
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::ShiftUnknown { .. })), "{error}");
    edit_json(&folder.path().join("config.json"), |config| config["mask_token_id"] = json!(null));
    let error = checkpoint_error(&folder);
    assert!(matches!(error, ExportError::Format(FormatError::OtherKind { .. })), "{error}");
    assert_names(&error, &["Qwen2ForCausalLM", "causal", "mask token"]);
}

/// Root can write to every folder, so the test checks nothing when run as root.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to() {
    use std::os::unix::fs::PermissionsExt;
    let folder = copy("dream-tiny");
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let is_root = fs::write(folder.path().join("probe"), "").is_ok();
    if !is_root {
        let error = checkpoint_error(&folder);
        assert!(matches!(error, ExportError::ReadOnly { .. }), "{error}");
        assert_names(&error, &[&folder.path().display().to_string(), "`out`"]);
    }
    set(0o755);
}

#[test]
fn a_folder_without_a_sampler_and_a_sampler_of_another_model() {
    let dream = copy("dream-tiny");
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(fixture("llada-tiny"));
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Format(FormatError::SamplerLayer { .. })), "{error}");
    assert_names(&error, &["no sampler layer", "drafter.norm_embed.0.weight", "llada-tiny"]);

    let llada = copy("llada-tiny");
    let mut options = ExportOptions::new(llada.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Format(FormatError::TensorShape { .. })), "{error}");
    assert_names(&error, &["drafter.norm_embed.0.weight", "[48]", "[32]"]);
}

#[test]
fn several_sampler_layers() {
    let (dream, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(sampler.path().into());
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .flat_map(|(name, tensor)| {
                ["a.", "b."].map(|prefix| (format!("{prefix}{name}"), tensor.clone()))
            })
            .collect();
    });
    assert_names(&export_error(&options), &["several sampler layers", "a.drafter., b.drafter."]);
}

#[test]
fn a_sampler_with_part_of_a_second_layer() {
    let sampler = copy("adjust-dream-tiny");
    let name = "drafter.layers.0.1.input_layernorm.weight";
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        tensors.insert(name.into(), (Dtype::F32, vec![32], vec![0; 128]));
    });
    let dream = copy("dream-tiny");
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(sampler.path().into());
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Format(FormatError::UnexpectedTensor { .. })), "{error}");
    assert_names(&error, &[name]);
    // With its queries it counts as a layer, which requires all tensors.
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        let queries = tensors["drafter.layers.0.0.self_attn.q_proj.weight"].clone();
        tensors.insert("drafter.layers.0.1.self_attn.q_proj.weight".into(), queries);
    });
    let error = export_error(&options);
    assert!(matches!(error, ExportError::Format(FormatError::MissingTensor { .. })), "{error}");
    assert_names(&error, &["drafter.layers.0.1.post_attention_layernorm.weight"]);
}

#[test]
fn a_failed_export_leaves_an_earlier_one_whole() {
    let folder = copy("dream-tiny");
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove("lm_head.weight")));
    checkpoint_error(&folder);
    assert_eq!(conjoint_export::Manifest::read(folder.path()).unwrap(), manifest);
}
