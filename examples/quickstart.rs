//! One prompt, unmasked in three ways: one token per forward, four independent tokens per forward, and
//! several tokens per forward with the learned joint sampler.
//!
//!     cargo run --release --example quickstart ["<story>the old"]
//!
//! What to see: exact sampling takes 40 forwards and writes the best texts. Independent draws take 10
//! forwards and break words. The learned joint sampler takes about as many forwards, and a few sampler
//! passes, and repairs most words.
use std::sync::Arc;
use std::time::Instant;

use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    // Finds ONNX Runtime, or fetches it once.
    println!("ONNX Runtime: {}\n", conjoint::runtime::ensure()?.display());
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let text = std::env::args().nth(1).unwrap_or_else(|| "<story>the old".to_owned());
    let prompt = tokenizer.encode(&text)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let gen_length = model.max_length().unwrap_or(48).saturating_sub(prompt.len());

    let exact = Generator::new(model.clone()).seed(7);
    let marginal = exact.clone().unmasker(Marginal::new(Entropy)).schedule(TokensPerStep::new(4)?);
    let joint = presets::balanced(model.clone(), model.sampler_layer()?)?.seed(7);
    let generators = [
        ("exact sequential, 1 token per forward", exact),
        ("marginal, 4 tokens per forward", marginal),
        ("learned joint, preset `balanced`", joint),
    ];
    for (name, generator) in generators {
        let start = Instant::now();
        let outputs = generator.generate_batch(&[&prompt; 6], gen_length)?;
        let seconds = start.elapsed().as_secs_f64();
        let (forwards, passes) = (outputs[0].denoiser_calls, outputs[0].sampler_calls);
        println!(
            "{name}: {forwards} forwards, {passes} sampler passes, {seconds:.2} s for 6 texts"
        );
        for output in &outputs {
            println!("    {}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        }
        println!();
    }
    Ok(())
}
