//! Designs the CDR-H3 of an antibody with a masked protein language model and a sampler layer.
//!
//!     cargo run --release --example antibody -- MODEL_DIR
//!
//! The model is an exported AntiBERTy; `models/README.md` says how to make one. Without a sampler layer in
//! the folder, the example draws one residue per forward.
//!
//! What to see: five designs of 11 residues and their cost. The layer's designs take 3 forwards instead of 11.
use anyhow::Context;
use conjoint::prelude::*;

/// The variable domain of trastuzumab's heavy chain. The X mark its CDR-H3, which is generated.
const CHAIN: &str = "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSR\
                     XXXXXXXXXXXWGQGTLVTVSS";

fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args().nth(1).context("MODEL_DIR is missing: see models/README.md, AntiBERTy")?;
    conjoint::runtime::ensure()?;
    let vocabulary = std::fs::read_to_string(format!("{folder}/vocab.txt"))
        .with_context(|| format!("cannot read {folder}/vocab.txt: expected an AntiBERTy"))?;
    let names: Vec<&str> = vocabulary.lines().collect();
    let id = |name: &str| {
        let found = names.iter().position(|other| *other == name);
        found.map(|id| id as u32).with_context(|| format!("{name} is not in vocab.txt"))
    };
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let layer =
        model.manifest().graphs.sampler_form().map(|_| model.sampler_layer()).transpose()?;
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(id);
    let special = special.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let generator = Generator::new(model).filter(Ban::new(special)).seed(1);
    let generator = match layer {
        Some(layer) => {
            generator.unmasker(LearnedJoint::new(layer)).schedule(TokensPerStep::new(4)?)
        }
        None => generator, // one residue per forward
    };

    let residue = |letter: char| if letter == 'X' { id("[MASK]") } else { id(&letter.to_string()) };
    let chain = CHAIN.chars().map(residue).collect::<anyhow::Result<Vec<_>>>()?;
    let tokens = [vec![id("[CLS]")?], chain, vec![id("[SEP]")?]].concat();
    let canvas = Canvas::infill(tokens, id("[MASK]")?)?;
    let holes: Vec<usize> = canvas.masked().collect();
    for output in generator.run(vec![canvas; 5], &mut ())? {
        let design: String = holes.iter().map(|&p| names[output.tokens[p] as usize]).collect();
        let (forwards, passes) = (output.denoiser_calls, output.sampler_calls);
        println!("{design}  {forwards} forwards, {passes} sampler passes");
    }
    Ok(())
}
