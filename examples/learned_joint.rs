//! The learned joint sampler (arXiv 2509.22738): four tokens per step, from one full forward and three
//! sampler passes.
//!
//!     cargo run --release --example learned_joint
//!
//! What to see: 10 forwards for 37 tokens, and 27 cheap sampler passes. The code is well-formed, but the
//! assertion is wrong: the small model often errs in arithmetic.
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let layer = model.sampler_layer()?;
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(layer).order(Entropy))
        .schedule(TokensPerStep::new(4)?)
        .filter(Temperature::new(1.0)?.then(TopP::new(0.95)?))
        .seed(1);

    let prompt = tokenizer.encode("<code>def f(x): ")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
