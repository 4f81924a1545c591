//! What an export leaves in a folder, and what can be read of it.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_names, contents, copy, edit_json, edit_tensors, fixture, refused};
use conjoint_export::{
    DType, ExportError, ExportOptions, Family, MANIFEST, Manifest, SpecialTokens, Tables,
    WeightFile, export,
};
use serde_json::{Value, json};

const WEIGHTS: &str = "model.safetensors";

fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

#[test]
fn the_manifest_reads_back_as_it_was_written() {
    for name in ["dream-tiny", "dream-tied-bf16-sharded", "llada-tiny"] {
        let folder = copy(name);
        let written = export(&ExportOptions::new(folder.path())).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), written);
    }
}

#[test]
fn the_manifest_says_what_the_configuration_says() {
    let folder = copy("dream-tied-bf16-sharded");
    let dream = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!((dream.family, dream.dtype, dream.shift), (Family::Dream, DType::BFloat16, true));
    assert_eq!((dream.vocab_size, dream.hidden_size, dream.layers), (96, 32, 2));
    assert_eq!((dream.heads, dream.kv_heads, dream.head_dim, dream.ffn_size), (4, 2, 8, 56));
    let tokens =
        SpecialTokens { mask: 94, eos: vec![95], pad: Some(95), bos: Some(95), named: None };
    assert_eq!((dream.tokens, dream.max_positions), (tokens, 128));
    assert_eq!(dream.graphs.sampler, None);
    assert_eq!(dream.provenance.weights.len(), 2);

    let folder = copy("llada-tiny");
    let llada = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!((llada.family, llada.dtype, llada.shift), (Family::Llada, DType::Float32, false));
    assert_eq!((llada.tokens.mask, llada.tokens.bos), (110, None));
}

#[test]
fn the_manifest_of_an_encoder() {
    let of = |name: &str| {
        let folder = copy(name);
        let manifest = export(&ExportOptions::new(folder.path())).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        assert_eq!(manifest.problems(folder.path()).len(), 0, "{name}");
        manifest
    };
    let bert = of("bert-tiny");
    assert_eq!((bert.family, bert.shift, bert.layers), (Family::Bert, false, 2));
    assert_eq!((bert.heads, bert.kv_heads, bert.head_dim, bert.ffn_size), (2, 2, 8, 24));
    assert_eq!((bert.tokens.mask, bert.tokens.pad, bert.max_positions), (4, Some(0), 24));
    let albert = of("albert-tiny");
    assert_eq!((albert.family, albert.hidden_size, albert.layers), (Family::Albert, 16, 4));
    assert_eq!(of("modernbert-tiny").family, Family::ModernBert);
    assert_eq!(serde_json::to_value(Family::ModernBert).unwrap(), "modernbert");
}

/// The same weights pickled: a file of its own beside the graphs, the same in every byte as what the library of the format
/// writes, and nothing else.
#[test]
fn pickled_weights_are_converted_beside_the_graphs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    let before = contents(folder.path());
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    let mut after = contents(folder.path());
    let converted = after.remove("weights/model.safetensors").unwrap();
    assert!(converted == fs::read(fixture("bert-tiny").join(WEIGHTS)).unwrap());
    for name in ["backbone.onnx", "head.onnx", MANIFEST] {
        assert!(after.remove(name).is_some(), "{name}");
    }
    assert!(after == before);
    assert_eq!(manifest.provenance.weights[0].name, "weights/model.safetensors");
    assert_eq!(manifest.problems(folder.path()).len(), 0);
    // A sampler layer is trained on the weights that the graphs point into.
    assert_eq!(Tables::read(folder.path()).unwrap(), Tables::read(&fixture("bert-tiny")).unwrap());
    let once = contents(folder.path());
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(contents(folder.path()) == once);
    // Weights that need no conversion go first, as they do in transformers, and the converted ones are left over.
    fs::write(folder.path().join(WEIGHTS), &converted).unwrap();
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(manifest.provenance.weights[0].name, WEIGHTS);
    assert!(!folder.path().join("weights/model.safetensors").exists());
}

#[test]
fn pickled_weights_become_a_checkpoint_in_another_folder() {
    let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["config.json", "pytorch_model.bin"] {
        fs::copy(fixture("bert-tiny").join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("vocab.txt"), "[PAD]\n").unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.out = Some(root.path().join("new/folder"));
    let before = Tables::read(folder.path()).unwrap_err();
    assert_names(&before, &["weights/model.safetensors", "pytorch_model.bin"]);
    let out = root.path().join("new/folder");
    for _ in 0..2 {
        export(&options).unwrap();
        let expected =
            ["backbone.onnx", "config.json", MANIFEST, "head.onnx", WEIGHTS, "vocab.txt"];
        assert_eq!(names(&out), expected);
    }
    export(&ExportOptions::new(&out)).unwrap();
    // Another model's weights stay.
    let other = fs::read(fixture("albert-tiny").join(WEIGHTS)).unwrap();
    fs::remove_file(out.join(WEIGHTS)).unwrap();
    fs::write(out.join(WEIGHTS), &other).unwrap();
    assert_names(&export(&options).unwrap_err(), &["model.safetensors", "exists"]);
    assert!(fs::read(out.join(WEIGHTS)).unwrap() == other);
    // What fails leaves no folder behind.
    options.out = Some(root.path().join("a/b"));
    edit_json(&folder.path().join("config.json"), |config| config["num_hidden_layers"] = json!(3));
    export(&options).unwrap_err();
    assert!(!root.path().join("a").exists());
}

#[test]
fn a_stored_head_of_an_encoder_wins_over_the_tied_flag() {
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

#[test]
fn in_place_only_graphs_and_manifest_are_added() {
    let folder = copy("dream-tiny");
    let before = contents(folder.path());
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    let mut after = contents(folder.path());
    for name in ["backbone.onnx", "head.onnx", "sampler.onnx", MANIFEST] {
        assert!(after.remove(name).is_some(), "{name}");
    }
    let sampler = fs::read(fixture("adjust-dream-tiny").join(WEIGHTS)).unwrap();
    assert!(after.remove("sampler.safetensors").unwrap() == sampler);
    assert!(after == before);
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    let folder = copy("dream-tiny");
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    let once = contents(folder.path());
    export(&options).unwrap();
    assert!(contents(folder.path()) == once);
}

#[test]
fn another_folder_gets_weights_and_companions_but_no_other_files() {
    let folder = copy("dream-tied-bf16-sharded");
    for name in ["vocab.json", "merges.txt", "README.md", "modeling.py"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let root = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.out = Some(root.path().join("new/folder"));
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.tokenizer.as_deref(), Some("vocab.json"));
    let out = root.path().join("new/folder");
    let expected = [
        "backbone.onnx",
        "config.json",
        "conjoint.json",
        "head.onnx",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "vocab.json",
    ];
    assert_eq!(names(&out), expected);
    // The new folder is a checkpoint itself.
    export(&ExportOptions::new(&out)).unwrap();
    assert_eq!(names(&out), expected);
}

#[test]
fn a_new_sampler_takes_the_place_of_the_old_one() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(fixture("adjust-dream-tiny"));
    export(&options).unwrap();
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        tensors.get_mut("drafter.down_project.0.bias").unwrap().2[0] ^= 1;
    });
    options.sampler = Some(sampler.path().into());
    export(&options).unwrap();
    let [old, new] = [&fixture("adjust-dream-tiny"), sampler.path()]
        .map(|folder| fs::read(folder.join(WEIGHTS)).unwrap());
    let now = fs::read(folder.path().join("sampler.safetensors")).unwrap();
    assert!(now == new && now != old);
}

/// The weights say in which form they were trained, and the caller may want the other.
#[test]
fn the_form_of_passes_is_the_weights_own_or_the_one_asked_for() {
    use conjoint_export::SamplerForm::{Rows, Sequence};
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let file = sampler.path().join(WEIGHTS);
    let plain = fs::read(&file).unwrap();
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    let mut form = |says: Option<&str>, asked| {
        let tensors = safetensors::SafeTensors::deserialize(&plain).unwrap();
        let says = says.map(|form| [("conjoint.passes".to_owned(), form.to_owned())].into());
        fs::write(&file, safetensors::serialize(tensors.tensors(), says).unwrap()).unwrap();
        options.passes = asked;
        export(&options).map(|manifest| {
            assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
            let files = names(folder.path());
            let graphs: Vec<&str> = manifest.graphs.names().collect();
            for graph in ["sampler.onnx", "sampler-context.onnx", "sampler-rows.onnx"] {
                let named = graphs.contains(&graph);
                assert_eq!(files.iter().any(|file| file == graph), named, "{graph}");
            }
            manifest.graphs.sampler_form().unwrap()
        })
    };
    for (says, asked, expected) in [
        (None, None, Sequence),
        (Some("rows"), None, Rows),
        (Some("sequence"), None, Sequence),
        (None, Some(Rows), Rows),
        (Some("rows"), Some(Sequence), Sequence),
    ] {
        assert_eq!(form(says, asked).unwrap(), expected, "{says:?} {asked:?}");
    }
    let message = form(Some("columns"), None).unwrap_err().to_string();
    assert!(message.contains("columns") && message.contains("sequence or rows"), "{message}");
}

#[test]
fn a_sampler_may_lie_among_its_base_models_tensors() {
    let folder = copy("dream-tiny");
    let mut drafter = common::Tensors::new();
    let adjust = copy("adjust-dream-tiny");
    edit_tensors(&adjust.path().join(WEIGHTS), |tensors| drafter = tensors.clone());
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| tensors.extend(drafter));
    // The base model's export leaves it out and says so, and the sampler's ignores the base model.
    let alone = export(&ExportOptions::new(folder.path())).unwrap();
    let [note] = &alone.provenance.notes[..] else { panic!("{:?}", alone.provenance) };
    assert!(note.contains("drafter.norm_embed.0.weight") && note.contains("left out"), "{note}");
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(folder.path().into());
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.provenance.notes, [""; 0]);
    let names: Vec<_> = manifest.provenance.weights.iter().map(|file| &file.name).collect();
    assert_eq!(names, [WEIGHTS]);
    assert!(!folder.path().join("sampler.safetensors").exists());
}

/// What trains a layer may put a name of its own before all others, or save the layer alone.
#[test]
fn a_samplers_names_may_have_a_prefix_or_none() {
    let mut plain = common::Tensors::new();
    edit_tensors(&copy("adjust-dream-tiny").path().join(WEIGHTS), |tensors| {
        plain = tensors.clone()
    });
    let mut base = common::Tensors::new();
    edit_tensors(&copy("dream-tiny").path().join(WEIGHTS), |tensors| base = tensors.clone());
    for prefix in ["model.drafter.", "module.drafter.", "_orig_mod.drafter.", "", "other."] {
        for beside in [false, true] {
            let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
            let own = |name: &str| name.replacen("drafter.", prefix, 1);
            let named = plain.iter().map(|(name, tensor)| (own(name), tensor.clone()));
            edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
                *tensors = named.chain(base.clone().into_iter().filter(|_| beside)).collect();
            });
            let mut options = ExportOptions::new(folder.path());
            options.sampler = Some(sampler.path().into());
            let manifest = export(&options).unwrap();
            assert!(manifest.problems(folder.path()).is_empty(), "{prefix}");
            let graph = fs::read(folder.path().join("sampler.onnx")).unwrap();
            let name = own("drafter.norm_postattn.0.weight");
            assert!(String::from_utf8_lossy(&graph).contains(&name), "{name}");
            // What has no place in the layer is still found.
            edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
                let tensor = tensors[&name].clone();
                tensors.insert(own("drafter.layers.0.0.extra.weight"), tensor);
            });
            assert_names(&export(&options).unwrap_err(), &["extra.weight", "no place"]);
        }
    }
}

#[test]
fn a_samplers_layer_may_have_llada_names() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    edit_tensors(&sampler.path().join(WEIGHTS), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(mut name, tensor)| {
                for (qwen, llada) in [
                    ("self_attn.o_proj", "attn_out"),
                    ("self_attn.", ""),
                    ("input_layernorm", "attn_norm"),
                    ("post_attention_layernorm", "ff_norm"),
                    ("mlp.gate_proj", "ff_proj"),
                    ("mlp.up_proj", "up_proj"),
                    ("mlp.down_proj", "ff_out"),
                ] {
                    name = name.replace(qwen, llada);
                }
                (name, tensor)
            })
            .collect();
    });
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    export(&options).unwrap();
}

/// As Transformers 5 does: a stored head that is not the embedding table is the model's head, whatever the configuration says.
#[test]
fn a_stored_head_wins_over_the_tied_flag_unless_it_is_the_embedding() {
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
        // In the same place, so that nothing moves.
        tensors.insert("lm_head.rotary_emb.inv_freq".into(), embedding);
    });
    export(&ExportOptions::new(folder.path())).unwrap();
    let of = |name: &str, graph: &[u8]| String::from_utf8_lossy(graph).contains(name);
    assert!(of("model.embed_tokens.weight", &of_both) && of("model.embed_tokens.weight", &head()));
    assert!(of("lm_head.weight", &own) && !of("lm_head.weight", &of_both));
}

/// LLaDA's own code never reads a stored head once the two are tied, and ties them unless it is told not to.
#[test]
fn a_second_head_of_a_tied_llada_is_an_error() {
    for tying in [json!(true), json!(null)] {
        let folder = copy("llada-tiny");
        edit_json(&folder.path().join("config.json"), |config| config["weight_tying"] = tying);
        assert_names(&refused(&folder), &["weight_tying", "ff_out", "false"]);
    }
}

#[test]
fn another_kind_of_model_is_rejected_for_what_it_is() {
    for (key, value, parts) in [
        ("block_size", json!(32), ["block_size is 32", "block by block"]),
        ("num_experts", json!(8), ["num_experts is 8", "mixture of experts"]),
        ("quantization_config", json!({"bits": 4}), ["quantization_config", "quantised"]),
    ] {
        let folder = copy("dream-tiny");
        edit_json(&folder.path().join("config.json"), |config| {
            config[key] = value;
            // Whatever else is wrong comes later.
            config["hidden_size"] = json!("wide");
        });
        assert_names(&refused(&folder), &parts);
    }
    let folder = copy("dream-tiny");
    fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    assert_names(&refused(&folder), &["adapter_config.json", "merge"]);
}

#[test]
fn an_unknown_key_is_an_error_until_it_is_ignored() {
    let folder = copy("llada-tiny");
    edit_json(&folder.path().join("config.json"), |config| config["gravity"] = json!(9.81));
    assert_names(&refused(&folder), &["gravity = 9.81", "`ignored keys`"]);
    assert_names(&Tables::read(folder.path()).unwrap_err(), &["gravity"]);
    let mut options = ExportOptions::new(folder.path());
    options.ignored_keys = vec!["gravity".into()];
    let manifest = export(&options).unwrap();
    assert_eq!(manifest.provenance.ignored_keys, ["gravity"]);
    // It remains a sound export, and a sampler layer can be trained for it.
    assert!(manifest.problems(folder.path()).is_empty());
    Tables::read(folder.path()).unwrap();
    // What makes it another model later on is found.
    edit_json(&folder.path().join("config.json"), |config| config["block_size"] = json!(8));
    let problems = manifest.problems(folder.path());
    assert!(problems.iter().any(|problem| problem.to_string().contains("block_size")));
}

/// Nothing in a plain Qwen2 says whether its rows are shifted; the export beside it does.
#[test]
fn the_tables_of_an_export_need_no_second_word_about_the_shift() {
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

/// Norms of queries and keys, and no bias, as the tensors have them: the graphs are those of a Qwen3 with these weights.
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
    // What the first layer has, all must have.
    edit_tensors(&dream.path().join(WEIGHTS), |tensors| {
        tensors.remove("model.layers.1.self_attn.k_norm.weight").unwrap();
    });
    let error = export(&ExportOptions::new(dream.path())).unwrap_err();
    assert_names(&error, &["model.layers.1.self_attn.k_norm.weight", "missing"]);
}

/// A snapshot in the Hugging Face hub's cache: symbolic links into a folder of blobs.
#[cfg(unix)]
#[test]
fn weights_behind_symbolic_links_are_hard_linked() {
    use std::os::unix::fs::{MetadataExt, symlink};

    let blobs = copy("dream-tied-bf16-sharded");
    let root = tempfile::tempdir_in(blobs.path().parent().unwrap()).unwrap();
    for name in names(blobs.path()) {
        symlink(blobs.path().join(&name), root.path().join(&name)).unwrap();
    }
    let manifest = export(&ExportOptions::new(root.path())).unwrap();
    for WeightFile { name, .. } in &manifest.provenance.weights {
        let shard = name.strip_prefix("weights/").unwrap();
        let linked = fs::symlink_metadata(root.path().join(name)).unwrap();
        let blob = fs::metadata(blobs.path().join(shard)).unwrap();
        assert!(linked.is_file() && linked.ino() == blob.ino(), "{name}");
        assert!(fs::symlink_metadata(root.path().join(shard)).unwrap().is_symlink());
    }
    // To another folder they go under their own names.
    let out = root.path().join("out");
    let mut options = ExportOptions::new(root.path());
    options.out = Some(out.clone());
    for WeightFile { name, .. } in export(&options).unwrap().provenance.weights {
        assert!(fs::symlink_metadata(out.join(name)).unwrap().is_file());
    }
}

#[test]
fn weights_trained_further_under_an_export_are_noticed() {
    let folder = copy("dream-tiny");
    let manifest = export(&ExportOptions::new(folder.path())).unwrap();
    manifest.check_weights(folder.path()).unwrap();
    edit_tensors(&folder.path().join(WEIGHTS), |tensors| {
        let (_, tensor) = tensors.iter_mut().next().unwrap();
        *tensor.2.last_mut().unwrap() ^= 1;
    });
    let changed = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(changed, ExportError::WeightsChanged { .. }), "{changed}");
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let missing = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(missing, ExportError::Io { .. }), "{missing}");
}

/// Far behind the beginning of the file too.
#[test]
fn every_tensor_of_a_sampler_layer_counts() {
    let (folder, sampler) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(sampler.path().into());
    let manifest = export(&options).unwrap();
    let file = folder.path().join("sampler.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let changed = manifest.check_weights(folder.path()).unwrap_err();
    assert!(matches!(changed, ExportError::WeightsChanged { .. }), "{changed}");
}

#[test]
fn an_export_without_a_sampler_layer_leaves_no_old_one() {
    let (folder, adjust) = (copy("dream-tiny"), copy("adjust-dream-tiny"));
    let mut options = ExportOptions::new(folder.path());
    options.sampler = Some(adjust.path().into());
    export(&options).unwrap();
    assert!(folder.path().join("sampler.onnx").exists());
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(!folder.path().join("sampler.onnx").exists());
}

#[test]
fn the_condensed_head_has_at_least_two_tokens_and_at_most_all() {
    let folder = copy("dream-tiny");
    let mut options = ExportOptions::new(folder.path());
    for (k, expected) in [(2, 2), (usize::MAX, 96)] {
        options.head_top = Some(k);
        let head = export(&options).unwrap().graphs.head_top.unwrap();
        assert_eq!((head.graph.as_str(), head.k), ("head-top.onnx", expected));
        assert!(folder.path().join(&head.graph).exists());
    }
    let file = folder.path().join(MANIFEST);
    let whole = fs::read(&file).unwrap();
    for bad in [1, 97] {
        edit_json(&file, |manifest| manifest["graphs"]["head_top"]["k"] = json!(bad));
        let error = Manifest::read(folder.path()).unwrap_err();
        assert_names(&error, &["graphs.head_top.k", "from 2 to vocab_size = 96", &bad.to_string()]);
        fs::write(&file, &whole).unwrap();
    }
    for bad in [0, 1] {
        options.head_top = Some(bad);
        let error = export(&options).unwrap_err();
        assert_names(&error, &["head top", &bad.to_string(), "at least 2"]);
    }
    export(&ExportOptions::new(folder.path())).unwrap();
    assert!(!folder.path().join("head-top.onnx").exists());
}

#[test]
fn edited_sizes_are_refused() {
    let folder = copy("dream-tiny");
    export(&ExportOptions::new(folder.path())).unwrap();
    let whole = fs::read(folder.path().join(MANIFEST)).unwrap();
    for (key, value, named) in
        [("vocab_size", 10, "tokens.mask"), ("hidden_size", 0, "hidden_size")]
    {
        fs::write(folder.path().join(MANIFEST), &whole).unwrap();
        edit_json(&folder.path().join(MANIFEST), |manifest| manifest[key] = json!(value));
        match Manifest::read(folder.path()).unwrap_err() {
            ExportError::Config { key, .. } => assert_eq!(key, named),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused() {
    let folder = copy("dream-tiny");
    let error = Manifest::read(folder.path()).unwrap_err();
    assert!(matches!(error, ExportError::MissingFile { .. }), "{error}");
    assert_names(&error, &[MANIFEST, "export"]);

    export(&ExportOptions::new(folder.path())).unwrap();
    let refused = |edit: &dyn Fn(&mut Value)| {
        let file = folder.path().join(MANIFEST);
        let whole = fs::read(&file).unwrap();
        edit_json(&file, edit);
        let error = Manifest::read(folder.path()).unwrap_err();
        fs::write(&file, whole).unwrap();
        error
    };
    let error = refused(&|manifest| manifest["format"] = json!(1));
    assert_names(&error, &["format 3", "format 1"]);
    let error = refused(&|manifest| manifest["graphs"]["head"] = json!("../head.onnx"));
    assert_names(&error, &["../head.onnx"]);
    let error = refused(&|manifest| manifest["tokens"] = json!({}));
    assert_names(&error, &["mask", MANIFEST]);
    assert!(Manifest::read(folder.path()).is_ok());
}
