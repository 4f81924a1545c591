//! A cache of keys and values: the same strategy without one, and with the caches of Fast-dLLM.
//!
//!     cargo run --release --example cache
//!
//! What to see: three texts of one seed. The caches compute fewer positions a forward. Their texts may differ
//! from the first one, because a cached position does not see the tokens revealed since it was computed.
use conjoint::cache::{Dual, DynCachePolicy, Prefix};
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let layer = std::sync::Arc::new(model.sampler_layer()?);
    let prompt = tokenizer.encode("<story>the old")?;

    let caches: [(&str, Option<Box<dyn DynCachePolicy>>); 3] = [
        ("none", None),
        ("prefix", Some(Prefix::new().boxed())),
        ("dual", Some(Dual::new().boxed())),
    ];
    for (name, cache) in caches {
        // Clones share the graphs.
        let model = match cache {
            Some(cache) => model.clone().with_cache(cache),
            None => model.clone(),
        };
        let before = model.stats().forwards;
        let generator = Generator::new(model.clone())
            .unmasker(LearnedJoint::new(layer.clone()))
            .schedule(TokensPerStep::new(2)?)
            .block_length(8)?
            .seed(1);
        let output = generator.generate(&prompt, 32)?;
        let forwards = model.stats().forwards - before;
        let positions = forwards.rows as f64 / forwards.calls as f64;
        println!("{name:>6}: {:?}", tokenizer.decode(&output.tokens)?);
        println!("        {} forwards of {positions:.1} positions each", forwards.calls);
    }
    Ok(())
}
