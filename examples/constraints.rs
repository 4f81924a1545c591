//! Restricts what may be drawn: at given positions, nowhere, or not before a length.
//!
//!     cargo run --release --example constraints
//!
//! What to see: every text obeys its rule. `models/tiny` misspells words even without a rule. Without `e`
//! more words break (`agg` for `egg`), which is the weakness of filters: they cut one row at a time, and
//! tokens drawn before do not take the rule into account. The law of `Constrain` says when the result is
//! exact. The first letter is such a case: its position is revealed first.
use conjoint::filter::{Constrain, MinLength};
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let generator = Generator::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?).seed(1);
    let eos = generator.vocabulary().eos_ids().to_vec();
    let prompt = tokenizer.encode("<story>the ")?;

    // The first generated character is a `c`. Positions count from the start, the prompt included.
    let first = Constrain::new([(prompt.len(), tokenizer.encode("c")?)])?;
    let variants = [
        ("free", generator.clone()),
        ("begins with c", generator.clone().filter(first)),
        ("no e", generator.clone().filter(Ban::new(tokenizer.encode("e")?))),
        ("at least 36 tokens", generator.filter(MinLength::new(36, eos))),
    ];
    for (name, generator) in variants {
        println!("{name}");
        for output in generator.generate_batch(&[&prompt; 3], 48 - prompt.len())? {
            println!("    {}", tokenizer.decode(&output.tokens)?.replace("<eos>", ""));
        }
    }
    Ok(())
}
