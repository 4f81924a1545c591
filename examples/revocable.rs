//! A strategy that takes tokens back: WINO reveals boldly, then masks again what looks doubtful once
//! everything around it is known.
//!
//!     cargo run --release --example revocable
use conjoint::observer::Reveal;
use conjoint::prelude::*;

/// Counts what was revealed and what was taken back.
#[derive(Default)]
struct Counts {
    revealed: usize,
    revoked: usize,
}

impl Observer for Counts {
    fn on_reveal(&mut self, _: &Reveal) {
        self.revealed += 1;
    }

    fn on_remask(&mut self, _: usize, _: usize, _: usize) {
        self.revoked += 1;
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model).unmasker(strategy::wino(0.6, 0.9)?).seed(2);

    let prompt = tokenizer.encode("<story>")?;
    let canvas = Canvas::new(&prompt, 48 - prompt.len(), generator.vocabulary().mask())?;
    let mut counts = Counts::default();
    for output in generator.run(vec![canvas], &mut counts)? {
        println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        println!("{} forwards, those of the doubts included", output.denoiser_calls);
    }
    println!("{} revealed, {} revoked", counts.revealed, counts.revoked);
    Ok(())
}
