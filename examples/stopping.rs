//! Ends a sequence before its last position: at the end-of-sequence id, at a token, or at a text.
//!
//!     cargo run --release --example stopping
//!
//! What to see: the same text, and 37, 26, 11 and 17 forwards. Positions after the end are filled, not
//! computed. With the default order (lowest entropy first) the saving is smaller, since tokens before the end
//! are still masked when it appears.
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let prompt = tokenizer.encode("<code>def f(x): ")?;

    let all = Generator::new(model).unmasker(ExactSequential::new(LeftToRight)).seed(1);
    let newline = tokenizer.encode("\n")?;
    let generators = [
        ("no stop", all.clone()),
        ("end of sequence", all.clone().stop_at_eos(true)),
        ("newline", all.clone().stop_at_tokens(newline)),
    ];
    for (name, generator) in generators {
        let output = generator.generate(&prompt, 48 - prompt.len())?;
        println!("{name}: {} forwards, {:?}", output.denoiser_calls, output.finish);
        // The tokens up to the end, including it.
        println!("    {:?}", tokenizer.decode(output.text_tokens())?);
    }

    let text = StopText::new(tokenizer.clone(), "assert");
    let output = all.stop_at(text.clone()).generate(&prompt, 48 - prompt.len())?;
    println!("text `assert`: {} forwards, {:?}", output.denoiser_calls, output.finish);
    let until_end = tokenizer.decode(output.text_tokens())?;
    println!("    {until_end:?}, without the stop text {:?}", text.cut(&until_end));
    Ok(())
}
