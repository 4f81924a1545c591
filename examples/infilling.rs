//! Infilling: generates the masked positions between given tokens, which stay as they are.
//!
//!     cargo run --release --example infilling
//!
//! What to see: the given words stay, and the two holes agree: the noun is the same and the sum is right. A
//! hole has a fixed length.
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let layer = model.sampler_layer()?;
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(layer))
        .schedule(TokensPerStep::new(2)?)
        .seed(1);

    let (mask, eos) = (generator.vocabulary().mask(), generator.vocabulary().eos());
    let mut tokens = tokenizer.encode("<math>tom has 7 ")?;
    tokens.extend([mask; 4]);
    tokens.extend(tokenizer.encode(" and buys 5. ")?);
    tokens.extend([mask; 12]);
    tokens.resize(48, eos.unwrap_or(mask));
    let canvas = Canvas::infill(tokens, mask)?;
    for output in generator.run(vec![canvas; 3], &mut ())? {
        println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    }
    Ok(())
}
