//! Ends generation early: one sequence of a run, a whole run from another thread, or a run at a deadline.
//!
//!     cargo run --release --example cancelling
//!
//! What to see: a cancelled sequence keeps the tokens revealed so far (`░` is a masked position), and its
//! finish reason says why it ended. The other sequence of the first run is complete. How far the last two
//! runs get depends on the machine.
use std::thread;
use std::time::{Duration, Instant};

use conjoint::prelude::*;

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let generator = Generator::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?);
    let mask = generator.vocabulary().mask();
    let print = |output: &Output| -> anyhow::Result<()> {
        let known: Vec<TokenId> = output.tokens.iter().copied().filter(|&t| t != mask).collect();
        let masked = output.tokens.len() - known.len();
        println!("{:?}, {} steps, {masked} masked:", output.finish, output.steps);
        let piece = |&token: &TokenId| match token == mask {
            true => Ok("░".to_owned()),
            false => tokenizer.piece(token),
        };
        let text: String = output.tokens.iter().map(piece).collect::<Result<_, _>>()?;
        println!("    {}", text.replace("<eos>", ""));
        Ok(())
    };

    let canvas = Canvas::of_length(&tokenizer.encode("<story>the old")?, 48, mask)?;
    println!("One of two sequences, cancelled after 10 steps");
    let mut run = generator.start(vec![canvas.clone(), canvas.clone()])?;
    for _ in 0..10 {
        run.step()?;
    }
    run.cancel(0)?;
    for output in run.finish_or_fail(&mut ())? {
        print(&output)?;
    }

    println!("\nA run, cancelled from another thread");
    let token = CancelToken::new();
    let mut run = generator.start(vec![canvas.clone()])?.cancelled_by(token.clone());
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        token.cancel();
    });
    print(&run.finish_or_fail(&mut ())?[0])?;
    canceller.join().expect("the thread only sleeps and cancels");

    println!("\nA run with a deadline of 10 ms");
    let mut run =
        generator.start(vec![canvas])?.deadline(Instant::now() + Duration::from_millis(10));
    print(&run.finish_or_fail(&mut ())?[0])
}
