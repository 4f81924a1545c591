//! Ends a sequence before its last position: at the end-of-sequence id, at a token, or at a text.
//!
//!     cargo run --release --example stopping
//!
//! TODO
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny");
    let tokenizer = Tokenizer::open(folder)?;
    let model = OnnxDenoiser::open(folder, ExecutionProvider::Cpu)?;
    let prompt = tokenizer.encode("<code>def f(x): ")?;

    let all = Generator::new(model).unmasker(ExactSequential::new(LeftToRight)).seed(1);
    let newline = tokenizer.encode("\n")?;
    let text = StopText::new(tokenizer.clone(), "assert");
    let generators = [
        ("no stop", all.clone()),
        ("end of sequence", all.clone().stop_at_eos(true)),
        ("token: a newline", all.clone().stop_at_tokens(newline)),
        ("text: `assert`", all.stop_at(text.clone())),
    ];
    for (name, generator) in generators {
        let output = generator.generate(&prompt, 48 - prompt.len())?;
        println!("{name}: {} forwards, {:?}", output.denoiser_calls, output.finish);
        // Up to the end and including it; `cut` leaves out the stop text.
        let until_end = tokenizer.decode(output.text_tokens())?;
        println!("    {:?}", text.cut(&until_end));
    }
    Ok(())
}
