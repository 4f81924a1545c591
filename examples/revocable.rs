//! Remasking: WINO reveals many tokens at once, then masks those again that have become improbable in their
//! context.
//!
//!     cargo run --release --example revocable
//!
//! What to see: the weakness of this strategy. One text of 47 tokens costs 195 forwards, since WINO computes
//! every revealed token again with its position masked, one forward for each. 69 tokens were revealed, and 22
//! masked again.
use conjoint::prelude::*;

/// Counts the tokens revealed and masked again.
#[derive(Default)]
struct Counts {
    revealed: usize,
    remasked: usize,
}

impl Observer for Counts {
    fn on_reveal(&mut self, _: &Reveal) {
        self.revealed += 1;
    }

    fn on_remask(&mut self, _: usize, _: usize, _: usize) {
        self.remasked += 1;
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model).unmasker(strategy::wino(0.6, 0.9)?).seed(2);

    let prompt = tokenizer.encode("<story>")?;
    let canvas = Canvas::of_length(&prompt, 48, generator.vocabulary().mask())?;
    let mut counts = Counts::default();
    for output in generator.run(vec![canvas], &mut counts)? {
        println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        println!("{} forwards in {} steps", output.denoiser_calls, output.steps);
    }
    println!("{} revealed, {} masked again", counts.revealed, counts.remasked);
    Ok(())
}
