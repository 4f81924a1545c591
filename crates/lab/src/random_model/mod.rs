//! Models of any size with random weights, for benchmarks.

mod sizes;
mod tensor;

use std::fs;
use std::path::Path;

use conjoint::export::{ExportOptions, Manifest, export};
use safetensors::serialize_to_file;
use serde_json::json;

pub use sizes::Sizes;
pub use tensor::Storage;

use crate::Error;
use tensor::{RandomTensor, Scale};

/// Writes a checkpoint of Dream's architecture with random weights and a random sampler layer, and exports both.
///
/// The model is written to a temporary folder, which is then renamed to `folder`. `folder` must not exist. Tensors are made
/// one by one while they are written: only the largest one is in memory.
///
/// The scales of the tensors make a model whose distributions resemble those of a trained one. Attention distinguishes
/// positions. The standard deviation of the logits is nine tenths of √(2 ln V), where the most probable tokens begin to have
/// most of the mass and entropies spread. A sampler pass moves hidden states by a quarter of their size.
///
/// # Errors
/// [`Error::Parameter`] for `folder` if it exists or has no name; [`Error::Io`], [`Error::Weights`] or
/// [`Error::Export`].
pub fn write(sizes: &Sizes, storage: Storage, seed: u64, folder: &Path) -> Result<Manifest, Error> {
    let invalid = |reason| Error::parameter("folder", folder.display(), reason);
    if folder.exists() {
        return Err(invalid("the folder already exists"));
    }
    let name = folder.file_name().ok_or_else(|| invalid("expected the name of a folder"))?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let temporary = tempfile::tempdir_in(parent).map_err(Error::io("write to", parent))?;
    // The export remembers the folder's name.
    let made = temporary.path().join(name);
    fs::create_dir(&made).map_err(Error::io("create", &made))?;
    for (name, text) in
        [("config.json", config(sizes, storage)), ("tokenizer.json", tokenizer(sizes))]
    {
        let file = made.join(name);
        fs::write(&file, text).map_err(Error::io("write", &file))?;
    }
    let tensors = tensors(sizes).into_iter().zip(0..).map(|((name, shape, scale), stream)| {
        (name, RandomTensor { shape, scale, storage, seed, stream })
    });
    let weights = made.join("model.safetensors");
    serialize_to_file(tensors, None, &weights)
        .map_err(|error| Error::Weights { path: weights.clone(), reason: error.to_string() })?;
    // The library writes private files.
    #[cfg(unix)]
    fs::set_permissions(&weights, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .map_err(Error::io("write", &weights))?;
    let mut options = ExportOptions::new(&made);
    options.sampler = Some(made.clone());
    let manifest = export(&options)?;
    fs::rename(&made, folder).map_err(Error::io("create", folder))?;
    Ok(manifest)
}

/// The names, shapes and scales of all tensors.
fn tensors(sizes: &Sizes) -> Vec<(String, Vec<usize>, Scale)> {
    let Sizes { hidden, layers, vocabulary, .. } = *sizes;
    let around = |mean, deviation| Scale { mean, deviation };
    let per_input = |gain: f32, inputs: usize| around(0.0, gain / (inputs as f32).sqrt());
    // The final norm makes states of size 1, so this is the standard deviation of a logit.
    let spread = 0.9 * (2.0 * (vocabulary as f32).ln()).sqrt();
    let mut all = vec![
        ("model.embed_tokens.weight".into(), vec![vocabulary, hidden], around(0.0, 1.0)),
        ("model.norm.weight".into(), vec![hidden], around(1.0, 0.0)),
        ("lm_head.weight".into(), vec![vocabulary, hidden], per_input(spread, hidden)),
        ("drafter.norm_embed.0.weight".into(), vec![hidden], around(1.0, 0.2)),
        ("drafter.norm_hidden.0.weight".into(), vec![hidden], around(1.0, 0.2)),
        ("drafter.norm_postattn.0.weight".into(), vec![hidden], around(0.25, 0.05)),
        (
            "drafter.down_project.0.weight".into(),
            vec![hidden, 2 * hidden],
            per_input(1.0, 2 * hidden),
        ),
        ("drafter.down_project.0.bias".into(), vec![hidden], around(0.0, 0.1)),
    ];
    let prefixes = (0..layers).map(|layer| format!("model.layers.{layer}."));
    for prefix in prefixes.chain(["drafter.layers.0.0.".into()]) {
        all.extend(layer(sizes, &prefix));
    }
    all
}

/// The tensors of one decoder layer. Queries and keys are twice as large as their inputs, which makes the attention's weights
/// differ between positions.
fn layer(sizes: &Sizes, prefix: &str) -> Vec<(String, Vec<usize>, Scale)> {
    let Sizes { hidden, ffn, heads, kv_heads, .. } = *sizes;
    let keys = hidden / heads * kv_heads;
    let around = |mean, deviation| Scale { mean, deviation };
    let matrix = |gain: f32, out: usize, inputs: usize| {
        (vec![out, inputs], around(0.0, gain / (inputs as f32).sqrt()))
    };
    let vector = |size: usize, mean, deviation| (vec![size], around(mean, deviation));
    let parts = [
        ("input_layernorm.weight", vector(hidden, 1.0, 0.2)),
        ("self_attn.q_proj.weight", matrix(2.0, hidden, hidden)),
        ("self_attn.q_proj.bias", vector(hidden, 0.0, 0.5)),
        ("self_attn.k_proj.weight", matrix(2.0, keys, hidden)),
        ("self_attn.k_proj.bias", vector(keys, 0.0, 0.5)),
        ("self_attn.v_proj.weight", matrix(1.0, keys, hidden)),
        ("self_attn.v_proj.bias", vector(keys, 0.0, 0.1)),
        ("self_attn.o_proj.weight", matrix(1.0, hidden, hidden)),
        ("post_attention_layernorm.weight", vector(hidden, 1.0, 0.2)),
        ("mlp.gate_proj.weight", matrix(1.0, ffn, hidden)),
        ("mlp.up_proj.weight", matrix(1.0, ffn, hidden)),
        ("mlp.down_proj.weight", matrix(1.0, hidden, ffn)),
    ];
    parts.map(|(name, (shape, scale))| (format!("{prefix}{name}"), shape, scale)).into()
}

/// The model's configuration. The last id is the mask, the one before it ends texts.
fn config(sizes: &Sizes, storage: Storage) -> String {
    let (mask, eos) = (sizes.vocabulary - 1, sizes.vocabulary - 2);
    let config = json!({
        "architectures": ["DreamModel"], "model_type": "Dream", "hidden_act": "silu",
        "vocab_size": sizes.vocabulary, "hidden_size": sizes.hidden,
        "intermediate_size": sizes.ffn, "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_scaling": null, "tie_word_embeddings": false, "use_sliding_window": false,
        "mask_token_id": mask, "eos_token_id": eos, "pad_token_id": eos, "bos_token_id": eos,
        "torch_dtype": if storage == Storage::Float32 { "float32" } else { "bfloat16" },
    });
    format!("{config:#}\n")
}

/// A word for each id: `w0`, `w1` and so on.
fn tokenizer(sizes: &Sizes) -> String {
    let special = |id: usize, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    let (mask, eos) = (sizes.vocabulary - 1, sizes.vocabulary - 2);
    let mut words: serde_json::Map<_, _> =
        (0..eos).map(|id| (format!("w{id}"), id.into())).collect();
    words.insert("<eos>".into(), eos.into());
    words.insert("<mask>".into(), mask.into());
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(eos, "<eos>"), special(mask, "<mask>")],
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    });
    tokenizer.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint::prelude::*;
    use conjoint::{RowId, RowStats, runtime};

    /// With flat distributions rounding would decide the greedy tokens.
    #[test]
    fn distributions_are_neither_flat_nor_degenerate_and_differ_by_position() {
        runtime::ensure().unwrap();
        let sizes = "64,3,96,4,2,400".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("random");
        write(&sizes, Storage::Float32, 0, &folder).unwrap();
        let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu).unwrap();
        let canvas = Canvas::new(&[5, 9, 2, 7], 28, model.vocabulary().mask()).unwrap();
        let rows: Vec<RowId> =
            canvas.masked().map(|position| RowId { sequence: 0, position }).collect();
        let (rows_of_forward, mut state) = model.denoise(&[&canvas], &rows).unwrap();
        let layer = model.sampler_layer().unwrap();
        let refined = layer.refine(&mut state, &[&canvas], &rows).unwrap();
        for dense in [&rows_of_forward, &refined] {
            let entropies: Vec<f64> = (0..dense.rows())
                .map(|row| RowStats::of(dense.logits(row)).unwrap().entropy)
                .collect();
            let n = entropies.len() as f64;
            let mean = entropies.iter().sum::<f64>() / n;
            let variance = entropies.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n;
            let flat = 400_f64.ln();
            assert!((0.1 * flat..0.8 * flat).contains(&mean), "{entropies:?}");
            assert!(variance.sqrt() > 0.05 * flat, "{entropies:?}");
        }
        assert_ne!(rows_of_forward, refined);
    }
}
