//! Designs the CDR-H3 of an antibody: its residues depend on each other, so that they are drawn jointly.
//!
//!     cargo run --release --example antibody -- MODEL_DIR
//!
//! The model is an exported AntiBERTy with a sampler layer; `models/README.md` says how to make one.
use anyhow::Context;
use conjoint::prelude::*;

/// The heavy chain's variable domain of trastuzumab; the CDR-H3 is what X hides.
const CHAIN: &str = "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSR\
                     XXXXXXXXXXXWGQGTLVTVSS";

fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args().nth(1).context("expected a model's folder, see models/README.md")?;
    conjoint::runtime::ensure()?;
    let words = std::fs::read_to_string(format!("{folder}/vocab.txt"))
        .with_context(|| format!("{folder} has no vocab.txt: expected an AntiBERTy"))?;
    let words: Vec<&str> = words.lines().collect();
    let id = |word: &str| {
        let found = words.iter().position(|own| *own == word);
        found.map(|id| id as u32).with_context(|| format!("{word} is not in vocab.txt"))
    };
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let sampler =
        model.manifest().graphs.sampler_form().map(|_| model.sampler_layer()).transpose()?;
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(id);
    let generator = Generator::new(model)
        .filter(Ban::new(special.into_iter().collect::<anyhow::Result<Vec<_>>>()?))
        .seed(1);
    let generator = match sampler {
        Some(sampler) => {
            generator.unmasker(LearnedJoint::new(sampler)).schedule(TokensPerStep::new(4)?)
        }
        None => {
            eprintln!(
                "{folder} has no sampler layer: one residue a forward. To train one: models/README.md, AntiBERTy"
            );
            generator.unmasker(ExactSequential::default())
        }
    };

    let residue = |letter: char| if letter == 'X' { id("[MASK]") } else { id(&letter.to_string()) };
    let chain = CHAIN.chars().map(residue).collect::<anyhow::Result<Vec<_>>>()?;
    let tokens = [vec![id("[CLS]")?], chain, vec![id("[SEP]")?]].concat();
    let canvas = Canvas::infill(tokens, id("[MASK]")?)?;
    let holes: Vec<usize> = canvas.masked().collect();
    for output in generator.run(vec![canvas; 5], &mut ())? {
        let design: String =
            holes.iter().map(|&hole| words[output.tokens[hole] as usize]).collect();
        println!("{design}  {} forwards, {} passes", output.denoiser_calls, output.sampler_calls);
    }
    Ok(())
}
