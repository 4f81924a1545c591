//! Draws molecules, one token and four tokens per forward, and fills the hole between two fragments.
//!
//!     cargo run --release --example molecules -- models/molecules [trace.html]
//!
//! The model is one of SMILES strings with a given end, as `docs/training.md` trains it. `models/molecules` is
//! unfinished: one token at a time, four in five of its strings are valid at temperature 0.5, and half at 1.
//!
//! What to see: SMILES strings. Nearly all of independent draws have an open ring or bracket, such as
//! `CC1CCN` without a second `1`; few of a sampler layer have. The two fragments stay as given. The
//! trace replays the last strategy; `bench/molecules/page.py` adds 2-D pictures to it.
use std::path::PathBuf;
use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::trace::Trace;

/// The first to ninth tenth of the lengths of the training molecules, in tokens. The model is given the length.
const LENGTHS: [usize; 9] = [29, 31, 33, 34, 36, 37, 38, 39, 41];
/// Anisole and pyridine, with 8 tokens missing between them.
const FRAGMENTS: (&str, usize, &str) = ("COc1ccccc1", 8, "c1ccncc1");

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or_else(|| anyhow::anyhow!("give the folder of a model"))?;
    let page = arguments.next().unwrap_or_else(|| std::env::temp_dir().join("molecules.html"));
    conjoint::runtime::ensure()?;
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let four = TokensPerStep::new(4)?;
    let exact = Generator::new(model.clone()).block_length(8)?;
    let exact = exact.filter(Temperature::new(0.5)?).seed(3);
    let marginal = exact.clone().unmasker(Marginal::new(Entropy)).schedule(four);
    let mut strategies = vec![
        ("exact sequential, 1 token per forward", exact.clone()),
        ("independent draws, 4 tokens per forward", marginal),
    ];
    if model.manifest().graphs.sampler_form().is_some() {
        let joint = LearnedJoint::new(model.sampler_layer()?).window(3)?;
        strategies
            .push(("learned joint, 4 tokens per forward", exact.unmasker(joint).schedule(four)));
    }

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
    let (before, masks, after) = FRAGMENTS;
    let new = LENGTHS.map(|length| canvas("", length, ""));
    let linked = [(); 3].map(|()| canvas(before, masks, after));
    let canvases = new.into_iter().chain(linked).collect::<Result<Vec<_>, _>>()?;

    let mut trace = Trace::default();
    for (name, generator) in strategies {
        trace = Trace::new(name);
        let outputs = generator.run(canvases.clone(), &mut trace)?;
        let forwards = outputs.iter().map(|output| output.denoiser_calls).max().unwrap_or(0);
        println!("{name}: {forwards} forwards");
        for (i, output) in outputs.iter().enumerate() {
            let kind = if i < LENGTHS.len() { "new" } else { "linked" };
            println!("    {kind:<7}{}", tokenizer.decode(&output.tokens)?.replace("[EOS]", ""));
        }
        println!();
    }
    trace.write(&page, |token| tokenizer.piece(token).ok())?;
    println!("wrote {}", page.display());
    Ok(())
}
