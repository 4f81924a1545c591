//! Classifier-free guidance: rows are pushed away from what the model predicts without the prompt.
//!
//!     cargo run --release --example guidance
//!
//! What to see: guidance doubles the forwards of a sequence. Here it also shows its weakness: texts become
//! more alike as the scale grows, and at 4 all four are the same broken one. `models/tiny` is small, so its
//! predictions without the prompt are of little use.
use std::sync::Arc;

use conjoint::guidance::ClassifierFree;
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let prompt = tokenizer.encode("<math>tom has 7 eggs")?;
    for scale in [0.0, 1.0, 4.0] {
        let guided = ClassifierFree::new(model.clone(), scale)?;
        // A sampler layer must be guided as its model is.
        let layer = guided.sampler_layer(model.sampler_layer()?);
        let generator = Generator::new(guided)
            .unmasker(LearnedJoint::new(layer))
            .schedule(TokensPerStep::new(4)?)
            .seed(1);
        let outputs = generator.generate_batch(&[&prompt; 4], 48 - prompt.len())?;
        let (forwards, passes) = (outputs[0].denoiser_calls, outputs[0].sampler_calls);
        println!("scale {scale}: {forwards} forwards, {passes} sampler passes");
        for output in &outputs {
            println!("    {}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        }
    }
    Ok(())
}
