//! One token per forward: samples the model's own joint distribution exactly.
//!
//!     cargo run --release --example exact_sequential
//!
//! What to see: as many forwards as tokens: 41. The sort is wrong: an exact sample has the errors of the model,
//! and `models/tiny` often sorts wrongly.
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
    println!("{} forwards for {} tokens", output.denoiser_calls, output.generated.len());
    Ok(())
}
