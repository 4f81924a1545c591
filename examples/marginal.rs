//! Several tokens per forward, each drawn independently: fast, and wrong where tokens depend on each other.
//!
//!     cargo run --release --example marginal
//!
//! What to see: 12 forwards for 41 tokens, and a list that is not a sort of the input: its names are mixed
//! up, since the tokens of one step are drawn independently. `learned_joint.rs` shows the remedy.
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
    println!("{} forwards for {} tokens", output.denoiser_calls, output.generated.len());
    Ok(())
}
