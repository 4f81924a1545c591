//! Wraps an unmasker in another one, which records how many tokens each step may reveal.
//!
//!     cargo run --release --example wrapped_strategy
//!
//! What to see: WINO reveals 2 to 10 tokens in each of its first 8 steps, and one in most of the others. The
//! sum is 54 for 40 positions, since WINO masks tokens again. The wrapper changes nothing: the outputs are
//! equal (an assertion checks it).
use std::sync::{Arc, Mutex};

use conjoint::prelude::*;
use conjoint::unmasker::DynUnmasker;

/// Forwards every call to `inner`, and records the quota of each step.
#[derive(Clone)]
struct Recorded {
    inner: Box<dyn DynUnmasker>,
    /// Shared by the clones: a run makes one for each sequence.
    quotas: Arc<Mutex<Vec<usize>>>,
}

impl Unmasker for Recorded {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.inner.plan(request)
    }

    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.inner.draft(view)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        self.quotas.lock().expect("no panic").push(view.quota());
        self.inner.decide(view)
    }

    /// All other methods, such as `control` and `sampler_layer`, take their default from here.
    fn inner(&self) -> Option<&dyn Unmasker> {
        Some(&self.inner)
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let prompt = tokenizer.encode("<story>the old")?;
    let generator = Generator::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?).seed(2);

    // `around` keeps the policy and the reviser of the strategy.
    let quotas = Arc::new(Mutex::new(Vec::new()));
    let wrapped =
        strategy::wino(0.6, 0.9)?.map_unmasker(|inner| Recorded { inner, quotas: quotas.clone() });
    let output = generator.clone().unmasker(wrapped).generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("tokens per step: {:?}", quotas.lock().expect("no panic"));

    let plain =
        generator.unmasker(strategy::wino(0.6, 0.9)?).generate(&prompt, 48 - prompt.len())?;
    assert_eq!(output, plain);
    Ok(())
}
