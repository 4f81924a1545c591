//! Exports a Hugging Face checkpoint to ONNX graphs, opens the export and samples from it.
//!
//!     cargo run --release -p conjoint --features export --example export_checkpoint [CHECKPOINT [SAMPLER]]
//!
//! What to see: the files of the export, and token ids. The default checkpoint is a test fixture with random
//! weights, so the ids mean nothing.
use std::path::PathBuf;

use conjoint::export::{ExportOptions, export};
use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let fixtures = conjoint_models::fixtures();
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (checkpoint, sampler) = match arguments.next() {
        Some(checkpoint) => (checkpoint, arguments.next()),
        None => (fixtures.join("dream-tiny"), Some(fixtures.join("adjust-dream-tiny"))),
    };

    let out = tempfile::tempdir()?;
    let mut options = ExportOptions::new(checkpoint);
    options.sampler = sampler;
    options.out = Some(out.path().to_owned()); // without it, the checkpoint's own folder
    let manifest = export(&options)?;
    println!("mask id {}, vocabulary {}", manifest.tokens.mask, manifest.vocab_size);
    for entry in std::fs::read_dir(out.path())? {
        let entry = entry?;
        println!("{:8} bytes  {}", entry.metadata()?.len(), entry.file_name().display());
    }

    let model = OnnxDenoiser::open(out.path(), ExecutionProvider::Cpu)?;
    let layer = options.sampler.map(|_| model.sampler_layer()).transpose()?;
    let generator = Generator::new(model).seed(1);
    let generator = match layer {
        Some(layer) => {
            generator.unmasker(LearnedJoint::new(layer)).schedule(TokensPerStep::new(3)?)
        }
        None => generator,
    };
    let output = generator.generate(&[1, 2, 3], 12)?;
    println!("{:?}", output.generated_tokens());
    println!("{} forwards, {} sampler passes", output.denoiser_calls, output.sampler_calls);
    Ok(())
}
