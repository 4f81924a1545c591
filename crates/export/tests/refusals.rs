//! Everything that can be wrong with a checkpoint, with a real broken file for each.
//!
//! `refused` also asserts that the folder stays as it was.

mod common;

use std::fs;

use common::{assert_names, copy, edit_json, edit_tensors, fixture, refusal, refused};
use conjoint_export::{ExportError, ExportOptions, export};
use safetensors::tensor::Dtype;
use serde_json::json;

const WEIGHTS: &str = "model.safetensors";

#[test]
fn a_folder_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&folder);
    assert!(matches!(error, ExportError::MissingFile { .. }), "{error}");
    assert_names(&error, &["config.json"]);
}

#[test]
fn a_folder_that_does_not_exist() {
    let error = export(&ExportOptions::new("no/such/folder")).unwrap_err();
    assert!(matches!(error, ExportError::NotACheckpoint { .. }), "{error}");
    assert_names(&error, &["no/such/folder", "there is no such folder"]);
}

#[test]
fn a_configuration_that_is_not_json() {
    let folder = copy("dream-tiny");
    for text in ["", "{", "[]", "\"Dream\""] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        let error = refused(&folder);
        assert!(matches!(error, ExportError::Json { .. }), "{error}");
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
    assert_names(&refused(&folder), &["mamba", "MambaForCausalLM", "Dream", "llada"]);
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
        let error = refused(&folder);
        assert!(matches!(error, ExportError::TensorShape { .. }), "{error}");
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
        assert_names(&refused(&folder), &[tensor]);
    }
}

#[test]
fn a_tensor_that_is_missing() {
    for tensor in ["model.norm.weight", "lm_head.weight", "model.layers.1.self_attn.q_proj.bias"] {
        let folder = copy("dream-tiny");
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove(tensor)));
        let error = refused(&folder);
        assert!(matches!(error, ExportError::MissingTensor { .. }), "{error}");
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
    assert_names(&refused(&folder), &[name, "[80, 48]", "[48, 80]", WEIGHTS]);
}

#[test]
fn a_tensor_of_another_type() {
    let folder = copy("dream-tiny");
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.get_mut("model.norm.weight").unwrap().0 = Dtype::I32;
    });
    let error = refused(&folder);
    assert!(matches!(error, ExportError::TensorType { .. }), "{error}");
    assert_names(&error, &["model.norm.weight", "I32", WEIGHTS]);
}

#[test]
fn a_tensor_that_the_graph_would_ignore() {
    let folder = copy("dream-tiny");
    let name = "model.layers.0.self_attn.o_proj.bias";
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.insert(name.into(), (Dtype::F32, vec![32], vec![0; 128]));
    });
    let error = refused(&folder);
    assert!(matches!(error, ExportError::UnexpectedTensor { .. }), "{error}");
    assert_names(&error, &[name, WEIGHTS]);
}

#[test]
fn weights_in_another_format_only() {
    let folder = copy("dream-tiny");
    for name in ["model.gguf", "pytorch_model-00001-of-00002.bin"] {
        fs::copy(folder.path().join(WEIGHTS), folder.path().join(name)).unwrap();
    }
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, ExportError::MissingFile { .. }), "{error}");
    assert_names(&error, &[WEIGHTS, "pytorch_model.bin", "converted"]);
}

/// The weights of a fixture, pickled, in a folder without others.
fn pickled(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("bert-tiny").join("config.json"), folder.path().join("config.json")).unwrap();
    fs::copy(fixture("bert-tiny").join(file), folder.path().join(PICKLED)).unwrap();
    folder
}

const PICKLED: &str = "pytorch_model.bin";

#[test]
fn pickled_weights_cut_short_anywhere() {
    for file in [PICKLED, "legacy.bin"] {
        let folder = pickled(file);
        let path = folder.path().join(PICKLED);
        let whole = fs::read(&path).unwrap();
        let lengths = [0, 1, 7, 100, 1000, 5000, 20_000, whole.len() - 1];
        for length in lengths {
            fs::write(&path, &whole[..length]).unwrap();
            let error = refused(&folder);
            assert!(matches!(error, ExportError::Pickle { .. }), "{file}, {length}: {error}");
            assert_names(&error, &[PICKLED, ".safetensors"]);
        }
    }
}

/// A program for Python, which nobody runs; and tensors that are large in name only.
#[test]
fn pickled_weights_that_are_something_else() {
    let folder = pickled(PICKLED);
    let path = folder.path().join(PICKLED);
    let mark = folder.path().join("mark");
    let shell = format!("touch {}", mark.display());
    let mut program = b"\x80\x02cposix\nsystem\nX".to_vec();
    program.extend((shell.len() as u32).to_le_bytes());
    program.extend(shell.as_bytes());
    program.extend(b"\x85R.");
    for bytes in [&program[..], b"version https://git-lfs.github.com/spec/v1\n"] {
        fs::write(&path, bytes).unwrap();
        assert_names(&refused(&folder), &[PICKLED]);
        assert!(!mark.exists());
    }
    let folder = pickled("expanded.bin");
    assert_names(&refused(&folder), &[PICKLED, "bytes"]);
}

#[test]
fn an_encoder_without_its_head_or_with_other_sizes() {
    let missing = |name: &str, tensor: &str| {
        let folder = copy(name);
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove(tensor)));
        let error = refused(&folder);
        assert!(matches!(error, ExportError::MissingTensor { .. }), "{error}");
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
        let error = refused(&folder);
        assert!(matches!(error, ExportError::TensorShape { .. }), "{error}");
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
        let error = refused(&folder);
        assert!(matches!(error, ExportError::UnexpectedTensor { .. }), "{error}");
        assert_names(&error, &[tensor, WEIGHTS]);
    }
}

#[test]
fn a_weight_file_cut_short_anywhere() {
    let folder = copy("dream-tiny");
    let file = folder.path().join(WEIGHTS);
    let whole = fs::read(&file).unwrap();
    for length in [0, 7, 8, 100, 2679, 2680, 50_000, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        let error = refused(&folder);
        let right = matches!(error, ExportError::FileLength { .. } | ExportError::Header { .. });
        assert!(right, "{error}");
        assert_names(&error, &[WEIGHTS]);
    }
}

#[test]
fn a_weight_file_that_is_something_else() {
    let folder = copy("dream-tiny");
    // What a clone without Git LFS leaves behind.
    fs::write(folder.path().join(WEIGHTS), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert_names(&refused(&folder), &[WEIGHTS, "Git LFS", "git lfs pull"]);
    fs::write(folder.path().join(WEIGHTS), "version 1\n").unwrap();
    let error = refused(&folder);
    assert!(matches!(error, ExportError::Header { .. }), "{error}");
}

/// The formats of GPTQ, of FP8 and of compressed-tensors; and the file that older quantisers leave.
#[test]
fn quantised_weights() {
    let layer = "model.layers.0.self_attn.q_proj";
    for (name, dtype, bytes) in [
        ("qweight", Dtype::I32, 4),
        ("weight_scale_inv", Dtype::F32, 4),
        ("weight_packed", Dtype::I32, 4),
    ] {
        let folder = copy("dream-tiny");
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
            tensors.insert(format!("{layer}.{name}"), (dtype, vec![1], vec![0; bytes]));
        });
        let error = refused(&folder);
        assert!(matches!(error, ExportError::Quantised { .. }), "{error}");
        assert_names(&error, &[WEIGHTS, name, "quantised model"]);
    }
    let folder = copy("dream-tiny");
    fs::write(folder.path().join("quantize_config.json"), "{}").unwrap();
    assert_names(&refused(&folder), &["quantize_config.json", "quantised model"]);
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
    assert_names(&refused(&folder), &parts);
}

#[test]
fn a_causal_model_whose_files_name_no_mask() {
    let folder = copy("dream-tiny");
    edit_json(&folder.path().join("config.json"), |config| {
        config["model_type"] = json!("qwen2");
        config["architectures"] = json!(["Qwen2ForCausalLM"]);
    });
    // With a mask it may be a diffusion model, of one kind or the other.
    let error = refused(&folder);
    assert!(matches!(error, ExportError::ShiftUnknown { .. }), "{error}");
    edit_json(&folder.path().join("config.json"), |config| config["mask_token_id"] = json!(null));
    let error = refused(&folder);
    assert!(matches!(error, ExportError::OtherKind { .. }), "{error}");
    assert_names(&error, &["Qwen2ForCausalLM", "causal", "mask token"]);
}

/// As root every folder can be written to, so that the test is one for others.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to() {
    use std::os::unix::fs::PermissionsExt;
    let folder = copy("dream-tiny");
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let is_root = fs::write(folder.path().join("probe"), "").is_ok();
    if !is_root {
        let error = refused(&folder);
        assert!(matches!(error, ExportError::ReadOnly { .. }), "{error}");
        assert_names(&error, &[&folder.path().display().to_string(), "`out`"]);
    }
    set(0o755);
}

#[test]
fn a_shard_that_is_missing() {
    let folder = copy("dream-tied-bf16-sharded");
    let shard = "model-00002-of-00002.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, ExportError::Shard { .. }), "{error}");
    assert_names(&error, &[shard, "model.safetensors.index.json"]);
}

#[test]
fn an_index_that_does_not_fit_its_shards() {
    for (tensor, shard, part) in [
        ("model.norm.weight", json!("model-00001-of-00002.safetensors"), "does not hold"),
        ("model.norm.weight", json!("../elsewhere.safetensors"), "not a file name"),
        ("model.norm.weight", json!(3), "invalid type"),
        ("model.extra.weight", json!("model-00001-of-00002.safetensors"), "does not hold"),
    ] {
        let folder = copy("dream-tied-bf16-sharded");
        edit_json(&folder.path().join("model.safetensors.index.json"), |index| {
            index["weight_map"][tensor] = shard;
        });
        assert_names(&refused(&folder), &[part, "model.safetensors.index.json"]);
    }
}

#[test]
fn a_sampler_that_is_none_or_belongs_to_another_model() {
    let dream = copy("dream-tiny");
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(fixture("llada-tiny"));
    let error = refusal(&options);
    assert!(matches!(error, ExportError::SamplerLayer { .. }), "{error}");
    assert_names(&error, &["no sampler layer", "drafter.norm_embed.0.weight", "llada-tiny"]);

    let llada = copy("llada-tiny");
    let mut options = ExportOptions::new(llada.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    let error = refusal(&options);
    assert!(matches!(error, ExportError::TensorShape { .. }), "{error}");
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
    assert_names(&refusal(&options), &["several sampler layers", "a.drafter., b.drafter."]);
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
    let error = refusal(&options);
    assert!(matches!(error, ExportError::UnexpectedTensor { .. }), "{error}");
    assert_names(&error, &[name]);
    // With its queries it is a layer, which wants the rest.
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        let queries = tensors["drafter.layers.0.0.self_attn.q_proj.weight"].clone();
        tensors.insert("drafter.layers.0.1.self_attn.q_proj.weight".into(), queries);
    });
    let error = refusal(&options);
    assert!(matches!(error, ExportError::MissingTensor { .. }), "{error}");
    assert_names(&error, &["drafter.layers.0.1.post_attention_layernorm.weight"]);
}

#[test]
fn another_models_weights_in_the_output_folder() {
    let (dream, out) = (copy("dream-tiny"), copy("llada-tiny"));
    let before = common::contents(out.path());
    let mut options = ExportOptions::new(dream.path());
    options.out = Some(out.path().into());
    let error = refusal(&options);
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    assert_names(&error, &[WEIGHTS]);
    assert!(common::contents(out.path()) == before, "the other model is untouched");
}

#[test]
fn the_samplers_own_folder_as_the_output_folder() {
    let (dream, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(dream.path());
    options.sampler = Some(sampler.path().into());
    options.out = Some(sampler.path().into());
    let before = common::contents(sampler.path());
    let error = refusal(&options);
    assert!(matches!(error, ExportError::Conflict { .. }), "{error}");
    assert!(common::contents(sampler.path()) == before);
}

#[test]
fn a_failed_export_leaves_an_earlier_one_whole() {
    let folder = copy("dream-tiny");
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| drop(tensors.remove("lm_head.weight")));
    refused(&folder);
    assert_eq!(conjoint_export::Manifest::read(folder.path()).unwrap(), manifest);
}
