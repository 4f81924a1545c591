//! A custom unmasker: one method draws tokens and reveals them.
//!
//!     cargo run --release --example custom_unmasker
//!
//! This one reveals the best position, and every other one whose entropy is below a bound. It chooses
//! positions itself and declares so by `Control::Alone`: an order or a schedule set on the generator is then
//! an error. A rule about positions alone, such as this one, can be a `Policy` instead, which works with any
//! unmasker: see `custom_policy.rs`.
//!
//! What to see: 38 forwards for 47 tokens. A higher bound takes fewer forwards and makes more errors.
use conjoint::prelude::*;

/// Reveals the position of lowest entropy, and all others whose entropy is at most `bound` nats.
#[derive(Clone)]
struct LowEntropy {
    bound: f64,
}

impl Unmasker for LowEntropy {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        for rank in 0..view.candidates().len() {
            let row = view.ranked(rank);
            if rank > 0 && view.row(row).stats.entropy > self.bound {
                break;
            }
            let drawn = view.draw(row)?;
            view.reveal(row, drawn);
        }
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Alone
    }
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model).unmasker(LowEntropy { bound: 0.05 }).seed(3);

    let prompt = tokenizer.encode("<story>")?;
    let output = generator.generate(&prompt, 48 - prompt.len())?;
    println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
    println!("{} forwards for {} tokens", output.denoiser_calls, output.generated.len());
    Ok(())
}
