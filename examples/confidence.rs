//! LLaDA's way: draw everywhere, keep the most confident tokens, block by block.
//!
//!     cargo run --release --example confidence
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model)
        .unmasker(Confidence::new(Score::Raw))
        .schedule(LladaEven::new(18)?)
        .block_length(13)?
        .filter(Temperature::new(0.7)?)
        .seed(1);

    let prompt = tokenizer.encode("<math>tom has ")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
