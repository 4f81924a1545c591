//! One model, loaded once and used by several threads.
//!
//!     cargo run --release --example threads
//!
//! What to see: the texts are those of one thread (an assertion checks it). ONNX Runtime already uses several
//! cores for one forward, so threads save little time on a small machine; a batch saves more.
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = Arc::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    // Clones of a generator share its model.
    let generator = Generator::new(model.clone());
    let prompts = ["<story>the old", "<math>tom has ", "<code>def f(x): ", "<list>sort: "];
    let generate = |prompt: &str, generator: Generator| -> anyhow::Result<String> {
        let prompt = tokenizer.encode(prompt)?;
        let output = generator.generate(&prompt, 48 - prompt.len())?;
        Ok(tokenizer.decode(&output.tokens)?.replace("<eos>", "").replace('\n', "↵"))
    };

    let start = Instant::now();
    let mut alone = Vec::new();
    for (seed, prompt) in (0..).zip(prompts) {
        alone.push(generate(prompt, generator.clone().seed(seed))?);
    }
    println!("one thread: {} ms", start.elapsed().as_millis());

    let start = Instant::now();
    let texts: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(prompts)
            .map(|(seed, prompt)| {
                let generator = generator.clone().seed(seed);
                scope.spawn(move || generate(prompt, generator))
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect::<anyhow::Result<_>>()
    })?;
    println!("four threads: {} ms", start.elapsed().as_millis());
    assert_eq!(texts, alone);
    println!("{}", texts.join("\n"));
    Ok(())
}
