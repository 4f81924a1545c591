//! Filling holes: whatever is not masked is given, left and right, and stays.
//!
//!     cargo run --release --example infilling
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let sampler = model.sampler_layer()?;
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(sampler))
        .schedule(TokensPerStep::new(2)?)
        .seed(1);

    let (mask, eos) = (generator.vocabulary().mask(), generator.vocabulary().eos());
    let mut tokens = tokenizer.encode("<math>tom has 7 ")?;
    tokens.extend([mask; 4]);
    tokens.extend(tokenizer.encode(" and buys 5. ")?);
    tokens.extend([mask; 11]);
    tokens.resize(48, eos.unwrap_or(mask));
    let canvas = Canvas::infill(tokens, mask)?;
    for output in generator.run(vec![canvas; 3], &mut ())? {
        println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    }
    Ok(())
}
