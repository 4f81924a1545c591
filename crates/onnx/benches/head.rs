//! Compares the top-K head with the dense one: milliseconds per call, and bytes copied to the host.
//!
//! `cargo bench -p conjoint-onnx --bench head [REPEATS]`. The model has one small layer and an output layer
//! with the vocabulary of a 7B model, with random weights. Both heads are called in turn, and medians are
//! printed. The larger model needs 10 GB of memory.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use conjoint_core::denoiser::{Form, Request, SequenceInput};
use conjoint_core::filter::{Filter, Temperature};
use conjoint_core::top_k_rows::TopKRequest;
use conjoint_core::{Canvas, Denoiser, RowId};
use conjoint_export::{ExportOptions, export};
use conjoint_onnx::{Calls, ExecutionProvider, HeadChoice, OnnxDenoiser, OnnxOptions, runtime};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::json;

const VOCABULARY: usize = 151_936;
const FFN: usize = 64;
/// Width of each of the two query heads, which share one key head.
const HEAD: usize = 32;
const K: usize = 64;
const REPEATS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let repeats = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    runtime::ensure()?;
    println!("V {VOCABULARY}, K {K}, medians of {} calls", repeats.unwrap_or(REPEATS));
    println!("| D | rows | temperatures | dense, ms | top-K, ms | ratio | dense, kB | top-K, kB |");
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for hidden in [512, 3584] {
        let folder = tempfile::tempdir()?;
        checkpoint(hidden, folder.path())?;
        let mut options = ExportOptions::new(folder.path());
        options.head_top = Some(K);
        export(&options)?;
        let open = |head| {
            OnnxDenoiser::open(folder.path(), OnnxOptions::new(ExecutionProvider::Cpu).head(head))
        };
        let models = [open(HeadChoice::Dense)?, open(HeadChoice::TopK)?];
        for rows in [1, 16, 96] {
            for temperature in [1.0, 0.7] {
                race(&models, hidden, rows, temperature, repeats.unwrap_or(REPEATS))?;
            }
        }
    }
    Ok(())
}

/// Calls both heads in turn and prints a line.
fn race(
    models: &[OnnxDenoiser; 2],
    hidden: usize,
    rows: usize,
    temperature: f64,
    repeats: usize,
) -> Result<(), Box<dyn Error>> {
    let canvas = Canvas::unconditional(96, models[0].vocabulary().mask())?;
    let inputs = [SequenceInput::stateless(&canvas)];
    let ids: Vec<RowId> = (0..rows).map(|position| RowId { sequence: 0, position }).collect();
    let mut request = TopKRequest::default();
    if temperature != 1.0 {
        assert!(Temperature::new(temperature)?.request_top_k(&mut request));
    }
    request.require_token(models[0].vocabulary().mask());
    let mut calls: [Vec<Calls>; 2] = [Vec::new(), Vec::new()];
    // The first call of each warms up.
    for _ in 0..=repeats {
        for (model, calls) in models.iter().zip(&mut calls) {
            let before = model.stats();
            let form = Form::TopK(&request);
            model.forward(&Request { form, ..Request::new(&inputs, &ids) })?;
            calls.push((model.stats() - before).forwards);
        }
    }
    let median = |calls: &[Calls]| {
        let mut times: Vec<Duration> = calls[1..].iter().map(|calls| calls.head).collect();
        times.sort_unstable();
        1e3 * times[times.len() / 2].as_secs_f64()
    };
    let [dense, top_k] = calls.each_ref().map(|calls| median(calls));
    let [dense_kb, top_k_kb] = calls.each_ref().map(|calls| calls[0].bytes as f64 / 1e3);
    println!(
        "| {hidden} | {rows} | {} | {dense:.1} | {top_k:.1} | {:.2} | {dense_kb:.1} | {top_k_kb:.1} |",
        request.temperatures().len(),
        top_k / dense,
    );
    Ok(())
}

/// Writes a random checkpoint in bfloat16, with one matrix for output layer and embedding. The deviation of
/// logits is the one at which the most probable tokens begin to hold most of the mass.
fn checkpoint(hidden: usize, folder: &Path) -> Result<(), Box<dyn Error>> {
    let config = json!({
        "model_type": "Dream", "vocab_size": VOCABULARY, "hidden_size": hidden, "head_dim": HEAD,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": FFN, "max_position_embeddings": 128, "rope_theta": 1e6,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "hidden_act": "silu",
        "mask_token_id": VOCABULARY - 1
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let spread = 0.9 * (2.0 * (VOCABULARY as f32).ln()).sqrt() / (hidden as f32).sqrt();
    let mut state = 1_u64;
    let mut random = |shape: &[usize], mean: f32, deviation: f32| -> Vec<u8> {
        let count = shape.iter().product();
        let mut bytes = Vec::with_capacity(2 * count);
        for _ in 0..count {
            // xorshift64; four of its bytes, added up, are nearly bell-shaped.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let sum: i32 = state.to_le_bytes()[4..].iter().map(|&byte| i32::from(byte)).sum();
            let value = mean + deviation * (sum as f32 - 510.0) / 147.8;
            bytes.extend(((value.to_bits() >> 16) as u16).to_le_bytes());
        }
        bytes
    };
    let layer = |name: &str| format!("model.layers.0.{name}");
    let mut tensors = Vec::new();
    for (name, shape, mean, deviation) in [
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, hidden], 0.0, spread),
        ("model.norm.weight".to_owned(), vec![hidden], 1.0, 0.0),
        (layer("input_layernorm.weight"), vec![hidden], 1.0, 0.0),
        (layer("post_attention_layernorm.weight"), vec![hidden], 1.0, 0.0),
        (layer("self_attn.q_proj.weight"), vec![2 * HEAD, hidden], 0.0, 0.02),
        (layer("self_attn.q_proj.bias"), vec![2 * HEAD], 0.0, 0.02),
        (layer("self_attn.k_proj.weight"), vec![HEAD, hidden], 0.0, 0.02),
        (layer("self_attn.k_proj.bias"), vec![HEAD], 0.0, 0.02),
        (layer("self_attn.v_proj.weight"), vec![HEAD, hidden], 0.0, 0.02),
        (layer("self_attn.v_proj.bias"), vec![HEAD], 0.0, 0.02),
        (layer("self_attn.o_proj.weight"), vec![hidden, 2 * HEAD], 0.0, 0.02),
        (layer("mlp.gate_proj.weight"), vec![FFN, hidden], 0.0, 0.02),
        (layer("mlp.up_proj.weight"), vec![FFN, hidden], 0.0, 0.02),
        (layer("mlp.down_proj.weight"), vec![hidden, FFN], 0.0, 0.02),
    ] {
        let data = random(&shape, mean, deviation);
        tensors.push((name, shape, data));
    }
    let mut views = Vec::new();
    for (name, shape, data) in &tensors {
        views.push((name, TensorView::new(Dtype::BF16, shape.clone(), data)?));
    }
    serialize_to_file(views, None, &folder.join("model.safetensors"))?;
    Ok(())
}
