//! Several tokens per forward, each drawn on its own: fast, and wrong where they depend on each
//! other.
//!
//!     cargo run --release --example marginal
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model)
        .unmasker(Marginal::new(Margin)) // or Entropy, MaxProb, Random, LeftToRight
        .schedule(Cosine::new(12)?)
        .seed(1);

    let prompt = tokenizer.encode("<list>sort: ")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
