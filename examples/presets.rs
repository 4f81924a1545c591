//! The presets: the published loops of LLaDA, Dream and Fast-dLLM, and the sampler layer at three budgets.
//!
//!     cargo run --release --example presets
//!
//! What to see: the cost of each preset. The published loops run at temperature 0 and reveal one token per
//! forward, or all above a threshold (`fast_dllm`); with half the steps, LLaDA's loop breaks words. The
//! presets of the sampler layer draw at temperature 1. `fast` takes 4 forwards for 39 tokens and 31 sampler
//! passes, which are cheaper.
use std::sync::Arc;

use conjoint::prelude::*;
use presets::{Dream, FastDllm, Llada};

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let layer = || model.sampler_layer();

    let prompt = tokenizer.encode("<story>the old ")?;
    let length = 39; // a multiple of the block lengths
    let llada = Llada { steps: length, block_length: 13, ..Llada::default() };
    let fast_dllm = FastDllm { block_length: 13, ..FastDllm::default() };
    let presets = [
        ("llada", presets::llada(model.clone(), llada)?),
        ("llada, half the steps", presets::llada(model.clone(), Llada { steps: 18, ..llada })?),
        ("dream", presets::dream(model.clone(), Dream { steps: length, ..Dream::default() })?),
        ("fast_dllm", presets::fast_dllm(model.clone(), fast_dllm)?),
        ("quality", presets::quality(model.clone(), layer()?)?),
        ("balanced", presets::balanced(model.clone(), layer()?)?),
        ("fast", presets::fast(model.clone(), layer()?)?),
    ];
    for (name, generator) in presets {
        // A preset is a generator: every setting can still be changed.
        let output = generator.seed(1).generate(&prompt, length)?;
        let text = tokenizer.decode(&output.tokens)?.replace("<eos>", "");
        let (forwards, passes) = (output.denoiser_calls, output.sampler_calls);
        println!("{name:22} {forwards:2} forwards, {passes:2} passes: {text}");
    }
    Ok(())
}
