//! Draws molecules, one token and four tokens per forward, and fills the hole between two fragments.
//!
//!     cargo run --release --example molecules [trace.html]
//!
//! What to see: SMILES strings. Those of independent draws often have an open ring or bracket, such as
//! `CC1CCN` without a second `1`; those of the sampler layer rarely do. The two fragments stay as given.
//! The trace replays how the sampler layer drew them.
use std::path::PathBuf;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::trace::Trace;

/// The first to ninth tenth of the lengths of the training molecules, in tokens. The model is given the length.
const LENGTHS: [usize; 9] = [29, 31, 33, 34, 36, 37, 38, 39, 41];
/// Anisole and pyridine, with 8 tokens missing between them.
const FRAGMENTS: (&str, usize, &str) = ("COc1ccccc1", 8, "c1ccncc1");

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::molecules();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let exact = Generator::new(model.clone()).seed(3);
    let marginal = exact.clone().unmasker(Marginal::new(Entropy)).schedule(TokensPerStep::new(4)?);
    let joint = exact
        .clone()
        .unmasker(LearnedJoint::new(model.sampler_layer()?))
        .schedule(TokensPerStep::new(4)?);

    let mask = model.vocabulary().mask();
    let end = tokenizer.encode("[EOS]")?;
    // Masks and the end token between given texts.
    let canvas = |before: &str, masks: usize, after: &str| -> anyhow::Result<Canvas> {
        let mut tokens = tokenizer.encode(before)?;
        tokens.extend(std::iter::repeat_n(mask, masks));
        tokens.extend(tokenizer.encode(after)?);
        tokens.extend(&end);
        Ok(Canvas::infill(tokens, mask)?)
    };
    let mut canvases =
        LENGTHS.map(|length| canvas("", length, "")).into_iter().collect::<Result<Vec<_>, _>>()?;
    let (before, masks, after) = FRAGMENTS;
    for _ in 0..3 {
        canvases.push(canvas(before, masks, after)?);
    }

    let mut trace = Trace::new("molecules, learned joint, 4 tokens per step");
    let print = |name: &str, outputs: Vec<Output>| -> anyhow::Result<()> {
        let forwards = outputs.iter().map(|output| output.denoiser_calls).max().unwrap_or(0);
        println!("{name}: {forwards} forwards");
        for (i, output) in outputs.iter().enumerate() {
            let kind = if i < LENGTHS.len() { "new" } else { "linked" };
            println!("    {kind:<7}{}", tokenizer.decode(&output.tokens)?.replace("[EOS]", ""));
        }
        println!();
        Ok(())
    };
    print("exact sequential, 1 token per forward", exact.run(canvases.clone(), &mut ())?)?;
    print("independent draws, 4 tokens per forward", marginal.run(canvases.clone(), &mut ())?)?;
    print("learned joint, 4 tokens per forward", joint.run(canvases, &mut trace)?)?;

    let given = std::env::args().nth(1).map(PathBuf::from);
    let path = given.unwrap_or_else(|| std::env::temp_dir().join("molecules.html"));
    trace.write(&path, |token| tokenizer.piece(token).ok())?;
    println!("wrote {}", path.display());
    Ok(())
}
