//! A scheduling policy of one's own with the learned joint sampler: a struct with one method says where, and the sampler
//! layer draws the tokens.
//!
//!     cargo run --release --example custom_policy
//!
//! Both lines take the same forwards. The second costs sampler passes, and its words fit together more often.
use conjoint::prelude::*;

/// Selects every `gap`-th masked position: neighbours depend on each other most.
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    conjoint::runtime::ensure()?;
    let model = OnnxDenoiser::open(conjoint_models::tiny(), ExecutionProvider::Cpu)?;
    let (sampler, tokenizer) = (model.sampler_layer()?, Tokenizer::open(conjoint_models::tiny())?);
    let prompt = tokenizer.encode("<story>the old")?;
    let generator = Generator::new(model).policy(Spread { gap: 4 }).seed(7);
    let independent = generator.clone().unmasker(Marginal::default());
    let joint = generator.unmasker(LearnedJoint::new(sampler));
    for (name, generator) in [("independent", independent), ("joint", joint)] {
        let out = generator.generate(&prompt, 48 - prompt.len())?;
        let (forwards, passes) = (out.denoiser_calls, out.sampler_calls);
        let text = tokenizer.decode(&out.tokens)?;
        println!("{name}, {forwards} forwards, {passes} sampler passes: {text}");
    }
    Ok(())
}
