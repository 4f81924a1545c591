//! Four tokens per step, from one full forward and three sampler passes (arXiv 2509.22738).
//!
//!     cargo run --release --example learned_joint
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let sampler = model.sampler_layer()?;
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(sampler).order(Entropy))
        .schedule(TokensPerStep::new(4)?)
        .filter(Temperature::new(1.0)?.then(TopP::new(0.95)?))
        .seed(1);

    let prompt = tokenizer.encode("<code>def f(x): ")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
