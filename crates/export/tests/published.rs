//! Published checkpoints: their configurations at real sizes, with weights that are holes in sparse files.
//!
//! Values are from the models' own `config.json`. Keys without effect are left out, except for some of each
//! kind.
#![cfg(target_os = "linux")] // sparse files work there by default

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use common::assert_names;
use conjoint_export::{ExportError, ExportOptions, Family, FormatError, Manifest, export};
use serde_json::{Map, Value, json};

/// Which tensors a checkpoint holds.
#[derive(Clone, Copy)]
struct Parts {
    bias: bool,
    qk_norm: bool,
    head: bool,
}

const FAST_DLLM_MASK: &str = "|<MASK>|";
const PLAIN: Parts = Parts { bias: false, qk_norm: false, head: true };
const BIASED: Parts = Parts { bias: true, ..PLAIN };
const NORMED: Parts = Parts { qk_norm: true, ..PLAIN };

fn dream() -> Value {
    json!({
        "architectures": ["DreamModel"], "model_type": "Dream", "hidden_act": "silu", "hidden_size": 3584,
        "intermediate_size": 18944, "mask_token_id": 151666, "bos_token_id": 151643, "eos_token_id": 151643,
        "pad_token_id": 151643, "max_position_embeddings": 131072, "max_window_layers": 28, "num_attention_heads": 28,
        "num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "rope_scaling": null, "rope_theta": 1e6,
        "sliding_window": null, "tie_word_embeddings": false, "use_mrope": false, "use_sliding_window": false,
        "torch_dtype": "bfloat16", "vocab_size": 152064
    })
}

fn llada() -> Value {
    json!({
        "architectures": ["LLaDAModelLM"], "model_type": "llada", "activation_type": "silu", "alibi": false,
        "alibi_bias_max": 8.0, "attention_layer_norm": false, "attention_layer_norm_with_affine": true,
        "bias_for_layer_norm": false, "block_group_size": 1, "block_type": "llama", "d_model": 4096,
        "embedding_size": 126464, "eos_token_id": 126081, "include_bias": false, "include_qkv_bias": false,
        "init_fn": "mitchell", "input_emb_norm": false, "layer_norm_type": "rms", "layer_norm_with_affine": true,
        "mask_token_id": 126336, "max_sequence_length": 4096, "mlp_hidden_size": 12288, "mlp_ratio": 4,
        "multi_query_attention": null, "n_heads": 32, "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081,
        "rms_norm_eps": 1e-5, "rope": true, "rope_full_precision": true, "rope_theta": 5e5, "scale_logits": false,
        "vocab_size": 126464, "weight_tying": false
    })
}

/// Qwen3-0.6B-diffusion-mdlm.
fn qwen3() -> Value {
    json!({
        "architectures": ["A2DQwen3LMHeadModel"], "model_type": "a2d-qwen3", "attention_bias": false, "dtype": "bfloat16",
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
        "layer_types": vec!["full_attention"; 28], "max_position_embeddings": 40960, "num_attention_heads": 16,
        "num_hidden_layers": 28, "num_key_value_heads": 8, "pad_token_id": 151643, "rms_norm_eps": 1e-6,
        "rope_scaling": null, "rope_theta": 1000000, "tie_word_embeddings": true, "use_sliding_window": false,
        "vocab_size": 151936
    })
}

/// Qwen2.5-Coder-0.5B-diffusion-mdlm.
fn qwen2() -> Value {
    json!({
        "architectures": ["A2DQwen2LMHeadModel"], "model_type": "a2d-qwen2", "eos_token_id": 151645, "hidden_act": "silu",
        "hidden_size": 896, "intermediate_size": 4864, "layer_types": vec!["full_attention"; 24],
        "max_position_embeddings": 32768, "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
        "pad_token_id": 151643, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": true,
        "use_sliding_window": false, "vocab_size": 151936
    })
}

/// SDAR-4B-Chat, from the repository JetAstra/SDAR. Its first release lacks `block_size` and `mask_token_id`.
fn sdar() -> Value {
    json!({
        "architectures": ["SDARForCausalLM"], "model_type": "sdar", "attention_bias": false, "attention_dropout": 0.0,
        "attn_implementation": "flex_attention", "block_size": 4, "bos_token_id": 151643, "debug": false,
        "eos_token_id": 151643, "ep_size": 1, "fuse_cross_entropy": true, "mask_token_id": 151669, "head_dim": 128,
        "hidden_act": "silu", "hidden_size": 2560, "intermediate_size": 9728, "max_position_embeddings": 32768,
        "max_window_layers": 36, "micro_forward": false, "num_attention_heads": 32, "num_hidden_layers": 36,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_scaling": null, "rope_theta": 1000000, "skip_checkpoint": false,
        "sliding_window": null, "tie_word_embeddings": false, "use_cache": false, "use_deepep": false,
        "use_sliding_window": false, "vocab_size": 151936
    })
}

/// Fast_dLLM_v2_7B: Qwen2.5-7B with the keys that `configuration.py` of NVlabs/Fast-dLLM adds. No file names the role of its
/// mask, `|<MASK>|`.
fn fast_dllm() -> Value {
    json!({
        "architectures": ["Fast_dLLM_QwenForCausalLM"], "model_type": "Fast_dLLM_Qwen", "attention_dropout": 0.0, "bd_size": 32,
        "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18944,
        "layer_types": vec!["full_attention"; 28], "max_position_embeddings": 32768, "max_window_layers": 28,
        "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-6,
        "rope_scaling": null, "rope_theta": 1e6, "sliding_window": null, "tie_word_embeddings": false, "use_cache": true,
        "use_sliding_window": false, "vocab_size": 152064
    })
}

/// DreamReasoner-8B: Dream's type, with Qwen3-8B's sizes.
fn reasoner() -> Value {
    let own = json!({
        "architectures": ["DreamForCausalLM"], "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": null, "intermediate_size": 12288, "num_hidden_layers": 36, "attention_bias": false, "vocab_size": 151936,
        "mask_token_id": 151669, "block_size": 32
    });
    with(dream(), own)
}

/// A configuration without a key.
fn without(mut config: Value, key: &str) -> Value {
    config.as_object_mut().unwrap().remove(key);
    config
}

/// A configuration with other values for some keys.
fn with(mut config: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Names and shapes of a checkpoint's tensors.
fn tensors(config: &Value, Parts { bias, qk_norm, head }: Parts) -> Vec<(String, Vec<usize>)> {
    let size = |keys: [&str; 2]| {
        keys.iter().find_map(|key| config[*key].as_u64()).map(|size| size as usize)
    };
    let required = |keys| size(keys).unwrap();
    let width = required(["hidden_size", "d_model"]);
    let heads = required(["num_attention_heads", "n_heads"]);
    let kv_heads = required(["num_key_value_heads", "n_kv_heads"]);
    let head_dim = size(["head_dim", "head_dim"]).unwrap_or(width / heads);
    let ffn = required(["intermediate_size", "mlp_hidden_size"]);
    let words = required(["vocab_size", "vocab_size"]);
    let llada = config.get("d_model").is_some();
    let (q, kv) = (heads * head_dim, kv_heads * head_dim);
    let names = match llada {
        true => [
            "attn_norm",
            "ff_norm",
            "q_proj",
            "k_proj",
            "v_proj",
            "attn_out",
            "ff_proj",
            "up_proj",
            "ff_out",
        ],
        false => [
            "input_layernorm",
            "post_attention_layernorm",
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ],
    };
    let shapes = [
        vec![width],
        vec![width],
        vec![q, width],
        vec![kv, width],
        vec![kv, width],
        vec![width, q],
        vec![ffn, width],
        vec![ffn, width],
        vec![width, ffn],
    ];
    let [embed, blocks, norm, head_name] = match llada {
        true => [
            "model.transformer.wte",
            "model.transformer.blocks",
            "model.transformer.ln_f",
            "model.transformer.ff_out",
        ],
        false => ["model.embed_tokens", "model.layers", "model.norm", "lm_head"],
    };
    let mut tensors = vec![
        (format!("{embed}.weight"), vec![words, width]),
        (format!("{norm}.weight"), vec![width]),
    ];
    for layer in 0..required(["num_hidden_layers", "n_layers"]) {
        let named = |name: &str| format!("{blocks}.{layer}.{name}");
        tensors.extend(
            names
                .iter()
                .zip(&shapes)
                .map(|(name, shape)| (named(&format!("{name}.weight")), shape.clone())),
        );
        if bias {
            let biases = names[2..5].iter().zip(&shapes[2..5]);
            tensors.extend(
                biases.map(|(name, shape)| (named(&format!("{name}.bias")), vec![shape[0]])),
            );
        }
        if qk_norm {
            tensors.extend(
                ["q_norm", "k_norm"]
                    .map(|name| (named(&format!("self_attn.{name}.weight")), vec![head_dim])),
            );
        }
    }
    tensors.extend(head.then(|| (format!("{head_name}.weight"), vec![words, width])));
    tensors
}

/// Writes a checkpoint of bfloat16 weights in a sparse file.
fn write(folder: &Path, config: &Value, parts: Parts) {
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors(config, parts) {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

fn exported(
    config: &Value,
    parts: Parts,
    shift: Option<bool>,
    mask: Option<&str>,
) -> Result<Manifest, ExportError> {
    exported_with(config, parts, mask, |options| options.shift = shift)
}

fn exported_with(
    config: &Value,
    parts: Parts,
    mask: Option<&str>,
    set: impl FnOnce(&mut ExportOptions),
) -> Result<Manifest, ExportError> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), config, parts);
    if let Some(mask) = mask {
        let tokens = match mask {
            FAST_DLLM_MASK => json!({"added_tokens_decoder": {"151665": {"content": mask}}}),
            _ => json!({"mask_token": mask, "added_tokens_decoder": {"151669": {"content": mask}}}),
        };
        fs::write(folder.path().join("tokenizer_config.json"), tokens.to_string()).unwrap();
    }
    let mut options = ExportOptions::new(folder.path());
    set(&mut options);
    export(&options)
}

#[test]
fn models_with_full_attention_are_exported() {
    let normed = json!({
        "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": null,
        "intermediate_size": 12288, "num_hidden_layers": 36, "attention_bias": false, "vocab_size": 151936,
        "mask_token_id": 151669
    });
    let (tied, named) = (Parts { head: false, ..NORMED }, Some("<|mask|>"));
    // Name, configuration, tensors, mask in the tokenizer; then family, shift, mask, bos, head width.
    let coder = json!({"bos_token_id": 151665, "max_position_embeddings": 32768});
    for (name, config, parts, mask, expected) in [
        ("Dream-v0", dream(), BIASED, None, (Family::Dream, true, 151666, Some(151643), 128)),
        (
            "Dream-Coder",
            with(dream(), coder),
            BIASED,
            None,
            (Family::Dream, true, 151666, Some(151665), 128),
        ),
        (
            "DiffuCoder",
            with(dream(), json!({"full_attn_hub_size": null})),
            BIASED,
            None,
            (Family::Dream, true, 151666, Some(151643), 128),
        ),
        (
            "Dream with norms",
            with(dream(), normed),
            NORMED,
            None,
            (Family::Dream, true, 151669, Some(151643), 128),
        ),
        ("LLaDA-8B", llada(), PLAIN, None, (Family::Llada, false, 126336, None, 128)),
        (
            "LLaDA-1.5",
            with(llada(), json!({"torch_dtype": "bfloat16"})),
            PLAIN,
            None,
            (Family::Llada, false, 126336, None, 128),
        ),
        ("Qwen3-mdlm", qwen3(), tied, named, (Family::Qwen, false, 151669, None, 128)),
        (
            "Qwen2.5-Coder-mdlm",
            qwen2(),
            Parts { head: false, ..BIASED },
            named,
            (Family::Qwen, false, 151669, None, 64),
        ),
    ] {
        let manifest =
            exported(&config, parts, None, mask).unwrap_or_else(|error| panic!("{name}: {error}"));
        let tokens = &manifest.tokens;
        let got = (manifest.family, manifest.shift, tokens.mask, tokens.bos, manifest.head_dim);
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn block_causal_models_are_exported_with_their_blocks() {
    let (tied, named) = (Parts { head: false, ..NORMED }, Some("<|mask|>"));
    let bd3lm = |config| with(config, json!({"block_size": 32}));
    // Name, configuration, tensors, mask in the tokenizer; then block, shift, mask, head width.
    for (name, config, parts, mask, expected) in [
        ("SDAR-4B", sdar(), NORMED, None, (4, false, 151669, 128)),
        (
            "SDAR-4B, named mask",
            without(sdar(), "mask_token_id"),
            NORMED,
            Some("<|MASK|>"),
            (4, false, 151669, 128),
        ),
        ("Fast_dLLM_v2_7B", fast_dllm(), BIASED, Some(FAST_DLLM_MASK), (32, true, 151665, 128)),
        ("DreamReasoner-8B", reasoner(), NORMED, None, (32, false, 151669, 128)),
        ("Qwen3-0.6B-bd3lm", bd3lm(qwen3()), tied, named, (32, false, 151669, 128)),
        (
            "Qwen2.5-Coder-bd3lm",
            bd3lm(qwen2()),
            Parts { head: false, ..BIASED },
            named,
            (32, false, 151669, 64),
        ),
        // Saved again under the class of its decoder.
        (
            "SDAR renamed",
            with(
                sdar(),
                json!({"architectures": ["A2DQwen3LMHeadModel"], "model_type": "a2d-qwen3"}),
            ),
            NORMED,
            None,
            (4, false, 151669, 128),
        ),
    ] {
        let manifest =
            exported(&config, parts, None, mask).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (block, tokens) = (manifest.attention_block.unwrap(), &manifest.tokens);
        assert_eq!((block, manifest.shift, tokens.mask, manifest.head_dim), expected, "{name}");
        assert!(manifest.provenance.notes.is_empty(), "{name}: {:?}", manifest.provenance.notes);
    }
}

/// SDAR's first configurations have no key, and dLLM's trainer writes none.
#[test]
fn a_missing_length_of_blocks_is_given() {
    for (config, parts) in [
        (without(sdar(), "block_size"), NORMED),
        (without(fast_dllm(), "bd_size"), BIASED),
        (without(reasoner(), "block_size"), NORMED),
    ] {
        let config = with(config, json!({"mask_token_id": 151669}));
        let error = exported(&config, parts, None, None).unwrap_err();
        assert!(
            matches!(error, ExportError::Format(FormatError::AttentionBlockUnknown { .. })),
            "{error}"
        );
        assert_names(&error, &[config["model_type"].as_str().unwrap(), "block_size", "bd_size"]);
        let given = |length| {
            let set = move |options: &mut ExportOptions| options.attention_block = Some(length);
            exported_with(&config, parts, None, set).unwrap().attention_block
        };
        assert_eq!((given(16), given(0)), (Some(16), None));
    }
    let named = Some("<|mask|>");
    let tied = Parts { head: false, ..NORMED };
    let either = exported(&qwen3(), tied, None, named).unwrap();
    assert_eq!(either.attention_block, None);
    assert!(either.provenance.notes[0].contains("bd3lm"), "{:?}", either.provenance.notes);
    let given = |options: &mut ExportOptions| options.attention_block = Some(32);
    let bd3lm = exported_with(&qwen3(), tied, named, given).unwrap();
    assert_eq!((bd3lm.attention_block, bd3lm.provenance.notes.len()), (Some(32), 0));
}

/// open-dCoder has the class of a causal model, a mask, and a shift that no file defines.
#[test]
fn a_converted_causal_model_requires_a_shift() {
    let causal = json!({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "mask_token_id": 151665});
    let (config, parts) = (with(qwen2(), causal), Parts { head: false, ..BIASED });
    let error = exported(&config, parts, None, None).unwrap_err();
    assert!(matches!(error, ExportError::Format(FormatError::ShiftUnknown { .. })), "{error}");
    let manifest = exported(&config, parts, Some(true), None).unwrap();
    assert_eq!((manifest.shift, manifest.tokens.mask), (true, 151665));
}

#[test]
fn unsupported_kinds_of_model_are_reported() {
    let causal = |class: &str, kind: &str| json!({"architectures": [class], "model_type": kind});
    let experts = json!({
        "architectures": ["LLaDAMoEModelLM"], "model_type": "llada", "hidden_size": 2048, "num_experts": 64,
        "num_experts_per_tok": 8, "expert_intermediate_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 16,
        "qk_layernorm": true, "vocab_size": 157184
    });
    let dream_blocks = with(dream(), json!({"block_size": 32}));
    let llada2 = json!({
        "architectures": ["LLaDA2MoeModelLM"], "model_type": "llada2_moe", "hidden_size": 2048, "num_experts": 256,
        "block_size": 32, "partial_rotary_factor": 0.5, "vocab_size": 157184
    });
    for (name, config, parts) in [
        ("LLaDA-MoE", experts, &["LLaDAMoEModelLM", "mixture of experts"][..]),
        ("LLaDA2.0", llada2, &["LLaDA2MoeModelLM", "mixture of experts", "block by block"]),
        (
            "SDAR-30B-A3B",
            with(sdar(), causal("SDARMoeForCausalLM", "sdar_moe")),
            &["SDARMoeForCausalLM", "mixture of experts", "block by block"],
        ),
        ("a Dream with blocks", dream_blocks, &["block_size is 32", "block-causal"]),
        ("bd3lms", causal("BD3LM", "bd3lm"), &["BD3LM", "diffusion transformer"]),
        (
            "Qwen2.5",
            with(qwen2(), causal("Qwen2ForCausalLM", "qwen2")),
            &["Qwen2ForCausalLM", "causal", "mask token"],
        ),
    ] {
        // Rejected before the weights are read.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let error = export(&ExportOptions::new(folder.path())).unwrap_err();
        assert!(
            matches!(error, ExportError::Format(FormatError::OtherKind { .. })),
            "{name}: {error}"
        );
        assert_names(&error, parts);
    }
    for (model_type, class) in
        [("llama", "LlamaForCausalLM"), ("mdlm", "MDLM"), ("a2d-llama", "A2DLlamaLMHeadModel")]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), causal(class, model_type).to_string())
            .unwrap();
        let error = export(&ExportOptions::new(folder.path())).unwrap_err();
        assert!(
            matches!(error, ExportError::Format(FormatError::UnknownArchitecture { .. })),
            "{error}"
        );
        assert_names(&error, &[class, "supported"]);
    }
}
