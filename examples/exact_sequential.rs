//! One token per forward: the model's own joint distribution, exactly.
//!
//!     cargo run --release --example exact_sequential
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model).unmasker(ExactSequential::new(Entropy)).seed(1);

    let prompt = tokenizer.encode("<list>sort: ")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
