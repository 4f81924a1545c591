//! A custom policy: one method selects the positions of a step. It works with every unmasker that takes a
//! policy.
//!
//!     cargo run --release --example custom_policy
//!
//! What to see: both unmaskers take about 20 forwards for 40 tokens. Independent draws break words, since the
//! positions selected together depend on each other. The sampler layer takes 18 passes more and repairs most
//! words.
use conjoint::prelude::*;

/// Selects the position of lowest entropy, and all others whose entropy is at most `bound` nats.
#[derive(Clone)]
struct LowEntropy {
    bound: f64,
}

impl Policy for LowEntropy {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        Entropy.rank(rows, &mut selection.ranked)?;
        let is_low = |row: &&Row| rows.row(**row).stats.entropy <= self.bound;
        let count = selection.ranked.iter().take_while(is_low).count().max(1);
        selection.ranked.truncate(count);
        selection.count = count;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let layer = model.sampler_layer()?;
    let prompt = tokenizer.encode("<story>the old")?;
    let generator = Generator::new(model).policy(LowEntropy { bound: 1.0 }).seed(7);
    let independent = generator.clone().unmasker(Marginal::default());
    let joint = generator.unmasker(LearnedJoint::new(layer));
    for (name, generator) in [("independent", independent), ("joint", joint)] {
        let outputs = generator.generate_batch(&[&prompt; 4], 48 - prompt.len())?;
        let (forwards, passes) = (outputs[0].denoiser_calls, outputs[0].sampler_calls);
        println!("{name}: {forwards} forwards, {passes} sampler passes");
        for output in &outputs {
            println!("    {}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        }
    }
    Ok(())
}
