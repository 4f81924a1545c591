//! Choices that depend on the kind of model, its configuration and its tensors.

mod common;

use std::fs;

use common::{assert_names, checkpoint_error, copy, edit_json, edit_tensors, fixture};
use conjoint_export::{ExportOptions, Tables, export};
use serde_json::json;

const WEIGHTS: &str = "model.safetensors";

#[test]
fn a_stored_head_of_an_encoder_overrides_the_tied_flag() {
    let folder = copy("bert-tiny");
    export(&ExportOptions::new(folder.path())).unwrap();
    let tied = fs::read(folder.path().join("head.onnx")).unwrap();
    let has = |graph: &[u8], name: &str| String::from_utf8_lossy(graph).contains(name);
    assert!(has(&tied, "word_embeddings") && !has(&tied, "decoder.weight"));
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        tensors.get_mut("cls.predictions.decoder.weight").unwrap().2[0] ^= 1;
    });
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    assert!(has(&fs::read(folder.path().join("head.onnx")).unwrap(), "decoder.weight"));
    assert!(manifest.provenance.notes[0].contains("cls.predictions.decoder.weight"));
}

#[test]
fn heads_of_an_odd_width_have_no_sampler_layer() {
    let folder = copy("bert-tiny");
    edit_json(&folder.path().join("config.json"), |config| {
        config["num_attention_heads"] = json!(16)
    });
    export(&ExportOptions::new(folder.path())).unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-albert-tiny"));
    assert_names(&export(&options).unwrap_err(), &["num_attention_heads", "even"]);
    assert_names(&Tables::read(folder.path()).unwrap_err(), &["num_attention_heads", "even"]);
}

/// As in Transformers 5: a stored head that differs from the embedding table is the model's head, even if the
/// configuration ties them.
#[test]
fn a_stored_head_overrides_the_tied_flag_unless_it_is_the_embedding() {
    let folder = copy("dream-tiny");
    let head = || fs::read(folder.path().join("head.onnx")).unwrap();
    let untied = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(untied.provenance.notes, [""; 0]);
    let own = head();
    edit_json(&folder.path().join("config.json"), |config| {
        config["tie_word_embeddings"] = json!(true);
    });
    let stored = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(head(), own);
    let [note] = &stored.provenance.notes[..] else { panic!("{:?}", stored.provenance) };
    assert!(note.contains("lm_head.weight") && note.contains("embedding table"), "{note}");
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        let embedding = tensors["model.embed_tokens.weight"].clone();
        tensors.insert("lm_head.weight".into(), embedding);
    });
    let tied = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(tied.provenance.notes, [""; 0]);
    let of_both = head();
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        let embedding = tensors.remove("lm_head.weight").unwrap();
        // In the same place, to keep all offsets.
        tensors.insert("lm_head.rotary_emb.inv_freq".into(), embedding);
    });
    export(&ExportOptions::new(folder.path())).unwrap();
    let of = |name: &str, graph: &[u8]| String::from_utf8_lossy(graph).contains(name);
    assert!(of("model.embed_tokens.weight", &of_both) && of("model.embed_tokens.weight", &head()));
    assert!(of("lm_head.weight", &own) && !of("lm_head.weight", &of_both));
}

/// LLaDA's own code never reads a stored head if the two are tied, which is the default.
#[test]
fn a_second_head_of_a_tied_llada_is_an_error() {
    for tying in [json!(true), json!(null)] {
        let folder = copy("llada-tiny");
        edit_json(&folder.path().join("config.json"), |config| config["weight_tying"] = tying);
        assert_names(&checkpoint_error(&folder), &["weight_tying", "ff_out", "false"]);
    }
}

#[test]
fn an_unsupported_kind_of_model_is_reported() {
    for (key, value, parts) in [
        ("block_size", json!(32), ["block_size is 32", "block-causal"]),
        ("num_experts", json!(8), ["num_experts is 8", "mixture of experts"]),
        ("quantization_config", json!({"bits": 4}), ["quantization_config", "quantised"]),
    ] {
        let folder = copy("dream-tiny");
        edit_json(&folder.path().join("config.json"), |config| {
            config[key] = value;
            // Checked later.
            config["hidden_size"] = json!("wide");
        });
        assert_names(&checkpoint_error(&folder), &parts);
    }
    let folder = copy("dream-tiny");
    fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    assert_names(&checkpoint_error(&folder), &["adapter_config.json", "merge"]);
}

#[test]
fn an_unknown_key_is_an_error_until_it_is_ignored() {
    let folder = copy("llada-tiny");
    edit_json(&folder.path().join("config.json"), |config| config["gravity"] = json!(9.81));
    assert_names(&checkpoint_error(&folder), &["gravity = 9.81", "`ignored keys`"]);
    assert_names(&Tables::read(folder.path()).unwrap_err(), &["gravity"]);
    let mut options = ExportOptions::new(folder.path());
    options.ignored_keys = vec!["gravity".into()];
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.provenance.ignored_keys, ["gravity"]);
    // It is a valid export, and a sampler layer can be trained for it.
    assert!(manifest.problems(folder.path()).is_empty());
    Tables::read(folder.path()).unwrap();
    // A later change to an unsupported kind is detected.
    edit_json(&folder.path().join("config.json"), |config| config["block_size"] = json!(8));
    let problems = manifest.problems(folder.path());
    assert!(problems.iter().any(|problem| problem.to_string().contains("block_size")));
}

/// The configuration of a plain Qwen2 does not define the shift. The manifest of its export does.
#[test]
fn tables_use_the_shift_of_the_export() {
    let folder = copy("dream-tiny");
    edit_json(&folder.path().join("config.json"), |config| {
        config["model_type"] = json!("qwen2");
        config["architectures"] = json!(["Qwen2ForCausalLM"]);
    });
    assert_names(&Tables::read(folder.path()).unwrap_err(), &["`shift`"]);
    let mut options = ExportOptions::new(folder.path());
    options.shift = Some(true);
    export(&options).unwrap();
    Tables::read(folder.path()).unwrap();
}

#[test]
fn a_missing_theta_is_noted() {
    for name in ["dream-tiny", "llada-tiny"] {
        let folder = copy(name);
        let notes = || export(&ExportOptions::new(folder.path())).unwrap().provenance.notes;
        assert_eq!(notes(), [""; 0]);
        edit_json(&folder.path().join("config.json"), |config| config["rope_theta"] = json!(null));
        let notes = notes();
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(note.contains("rope_theta") && note.contains("10000"), "{note}");
    }
}

/// With norms of queries and keys and no bias, the graphs equal those of a Qwen3 with these weights.
#[test]
fn the_parts_of_dreams_layers_follow_from_the_tensors() {
    let normed = |model_type: &str| {
        let folder = copy("dream-tiny");
        edit_json(&folder.path().join("config.json"), |config| {
            config["model_type"] = json!(model_type);
            config["architectures"] = json!(null);
        });
        edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
            tensors.retain(|name, _| !name.ends_with("_proj.bias"));
            let head_dim = 8;
            let ones: Vec<u8> = (0..head_dim).flat_map(|_| 1f32.to_le_bytes()).collect();
            for (layer, norm) in [(0, "q_norm"), (0, "k_norm"), (1, "q_norm"), (1, "k_norm")] {
                let name = format!("model.layers.{layer}.self_attn.{norm}.weight");
                tensors.insert(name, (safetensors::Dtype::F32, vec![head_dim], ones.clone()));
            }
        });
        folder
    };
    let qwen = normed("qwen3");
    let mut options = ExportOptions::new(qwen.path());
    options.shift = Some(true);
    export(&options).unwrap();
    let dream = normed("Dream");
    export(&ExportOptions::new(dream.path())).unwrap();
    for graph in ["backbone.onnx", "head.onnx"] {
        let [own, other] =
            [&dream, &qwen].map(|folder| fs::read(folder.path().join(graph)).unwrap());
        assert!(own == other, "{graph}");
    }
    // All layers must have the parts of the first one.
    edit_tensors(&dream.path().join(WEIGHTS), |tensors| {
        tensors.remove("model.layers.1.self_attn.k_norm.weight").unwrap();
    });
    let error = export(&ExportOptions::new(dream.path())).unwrap_err();
    assert_names(&error, &["model.layers.1.self_attn.k_norm.weight", "missing"]);
}
