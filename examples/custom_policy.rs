//! A custom policy: one method selects the positions of a step. It works with every unmasker that takes a policy.
//!
//!     cargo run --release --example custom_policy
//!
//! TODO
use conjoint::prelude::*;

/// Selects every `gap`-th masked position: adjacent positions depend on each other most.
#[derive(Clone)]
struct Spread {
    gap: usize,
}

impl Policy for Spread {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        selection.all_of(rows.rows().step_by(self.gap));
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny");
    let tokenizer = Tokenizer::open(folder)?;
    let model = OnnxDenoiser::open(folder, ExecutionProvider::Cpu)?;
    let layer = model.sampler_layer()?;
    let prompt = tokenizer.encode("<story>the old")?;
    let generator = Generator::new(model).policy(Spread { gap: 4 }).seed(7);
    let independent = generator.clone().unmasker(Marginal::default());
    let joint = generator.unmasker(LearnedJoint::new(layer));
    for (name, generator) in [("independent", independent), ("joint", joint)] {
        let output = generator.generate(&prompt, 48 - prompt.len())?;
        let (forwards, passes) = (output.denoiser_calls, output.sampler_calls);
        println!("{name}: {forwards} forwards, {passes} sampler passes");
        println!("    {}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    }
    Ok(())
}
