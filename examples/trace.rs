//! Writes a page that replays a run, call by call.
//!
//!     cargo run --release --example trace [trace.html]
//!
//! What to see: the path of the page. Open it in a browser; it loads nothing from the network. Each frame is
//! one call: a forward or a sampler pass, the tokens it revealed, and their probabilities.
use std::path::PathBuf;

use conjoint::prelude::*;
use conjoint::trace::Trace;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let sampler = model.sampler_layer()?;
    let generator = Generator::new(model)
        .unmasker(LearnedJoint::new(sampler))
        .schedule(TokensPerStep::new(4)?)
        .seed(7);
    let prompts = ["<story>the old", "<math>tom has "];
    let canvas = |prompt: &&str| -> anyhow::Result<Canvas> {
        Ok(Canvas::of_length(&tokenizer.encode(prompt)?, 48, generator.vocabulary().mask())?)
    };
    let canvases = prompts.iter().map(canvas).collect::<Result<_, _>>()?;

    let mut trace = Trace::new("learned joint, 4 tokens per step"); // an observer
    generator.run(canvases, &mut trace)?;
    let given = std::env::args().nth(1).map(PathBuf::from);
    let path = given.unwrap_or_else(|| std::env::temp_dir().join("trace.html"));
    trace.write(&path, |token| tokenizer.piece(token).ok())?;
    println!("wrote {}", path.display());
    Ok(())
}
