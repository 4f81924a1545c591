//! One batch, in which each sequence has settings of its own: strategy, filters, seed.
//!
//!     cargo run --release --example batch_settings
//!
//! What to see: the sequences take 40, 39 and 10 forwards, and the batch takes 40, not their sum: they share
//! forwards.
use std::sync::Arc;

use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let four = TokensPerStep::new(4)?;

    // Each is a changed clone of one generator, and so has the same model.
    let base = Generator::new(model.clone());
    let settings = [
        ("<story>the old", "greedy", base.clone().draw(Argmax)),
        ("<math>tom has ", "cool", base.clone().filter(Temperature::new(0.5)?).seed(2)),
        (
            "<code>def f(x): ",
            "joint",
            base.clone().unmasker(LearnedJoint::new(model.sampler_layer()?)).schedule(four),
        ),
    ];
    let requests = settings.iter().map(|(prompt, _, generator)| {
        let canvas = Canvas::of_length(&tokenizer.encode(prompt)?, 48, base.vocabulary().mask())?;
        Ok((canvas, generator.clone()))
    });
    let requests = requests.collect::<anyhow::Result<Vec<_>>>()?;

    let before = model.stats();
    let outputs = base.run_each(requests, &mut ())?;
    for ((_, name, _), output) in settings.iter().zip(&outputs) {
        let text = tokenizer.decode(&output.tokens)?.replace("<eos>", "").replace('\n', "↵");
        println!("{name:6} {:2} forwards: {text}", output.denoiser_calls);
    }
    println!("{} forwards of the batch", (model.stats() - before).forwards.calls);
    Ok(())
}
