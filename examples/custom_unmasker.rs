//! An unmasker of one's own is one struct with one method. This one reveals, besides the best
//! position, every other one whose entropy is below a bound.
//!
//! It chooses positions itself, and says so: setting an order or a schedule beside it is an error. A rule
//! about positions alone can also be a `Policy`, which then goes with any unmasker.
//!
//!     cargo run --release --example custom_unmasker
use conjoint::prelude::*;

/// Reveals the position of lowest entropy, and all others below `bound` nats.
#[derive(Clone)]
struct LowEntropy {
    bound: f64,
}

impl Unmasker for LowEntropy {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        for rank in 0..view.candidates().len() {
            let candidate = view.ranked(rank);
            if rank > 0 && view.row(candidate).stats.entropy > self.bound {
                break;
            }
            let drawn = view.draw(candidate)?;
            view.reveal(candidate, drawn);
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
