//! Generates with `models/tiny` on a model server, and compares the tokens with those of ONNX Runtime in this process.
//!
//!     python3 crates/remote/tests/mlserver.py --serve 8080 &
//!     cargo run --release -p conjoint-remote --example remote -- http://127.0.0.1:8080 [texts]
//!
//! What to see: texts, and that the tokens are equal. Stop the server while it runs, and start it again: the run continues.
use std::time::Instant;

use conjoint::prelude::*;
use conjoint_remote::{RemoteDenoiser, RemoteOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the address of the server")?;
    let texts: usize = arguments.next().map_or(Ok(4), |texts| texts.parse())?;
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let here = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let vocabulary = here.vocabulary().clone();
    let mut options = RemoteOptions::new(url, "tiny");
    options.max_length = here.max_length();
    let there = RemoteDenoiser::connect(options, vocabulary)?;

    let prompts = ["<story>the old", "<math>tom has ", "<code>def f(x): ", "<list>sort: "];
    let canvas = |i: usize| -> Result<Canvas, Box<dyn std::error::Error>> {
        let prompt = tokenizer.encode(prompts[i % prompts.len()])?;
        Ok(Canvas::of_length(&prompt, 44 + i % 4, here.vocabulary().mask())?)
    };
    let canvases = (0..texts).map(canvas).collect::<Result<Vec<_>, _>>()?;
    let run = |generator: Generator| -> Result<(Vec<Output>, f64), Error> {
        let began = Instant::now();
        let generator = generator.unmasker(Marginal::new(Entropy)).schedule(TokensPerStep::new(2)?);
        let outputs = generator.seed(1).run(canvases.clone(), &mut ())?;
        Ok((outputs, began.elapsed().as_secs_f64()))
    };
    let (remote, seconds) = run(Generator::new(there))?;
    for output in remote.iter().take(4) {
        println!("{}", tokenizer.decode(&output.tokens)?.replace("<eos>", "").replace('\n', "↵"));
    }
    let (local, local_seconds) = run(Generator::new(here))?;
    assert_eq!(remote, local, "the tokens differ");
    println!(
        "{texts} texts, tokens equal; {seconds:.2} s over the network, {local_seconds:.2} s here"
    );
    Ok(())
}
