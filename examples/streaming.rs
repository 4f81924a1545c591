//! Text as it appears: a run taken step by step and shown in place, `░` where nothing stands yet. Ctrl-C ends
//! it with what there is. Where the output is no terminal, every step is a line of its own.
//!
//!     cargo run --release --example streaming ["<story>the old"]
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use conjoint::prelude::*;

/// The tokens as one line: the block is dim in a terminal.
fn line(tokenizer: &Tokenizer, tokens: &[TokenId], mask: TokenId) -> anyhow::Result<String> {
    let block = if stdout().is_terminal() { "\x1b[2m░\x1b[0m" } else { "░" };
    let mut line = String::new();
    for &token in tokens {
        match token == mask {
            true => line += block,
            false => line += &tokenizer.piece(token)?.replace("<eos>", "").replace('\n', "↵"),
        }
    }
    Ok(line)
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let model = OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?;
    let generator = Generator::new(model).seed(1);
    let text = std::env::args().nth(1).unwrap_or_else(|| "<story>the old".to_owned());
    let mask = generator.vocabulary().mask();
    let canvas = Canvas::of_length(&tokenizer.encode(&text)?, 48, mask)?;

    let cancel = CancelToken::new();
    let at_ctrl_c = cancel.clone();
    ctrlc::set_handler(move || at_ctrl_c.cancel())?;
    let mut run = generator.start(vec![canvas])?.cancelled_by(cancel);
    while !run.is_done() {
        run.step()?;
        let Some(canvas) = run.canvas(0) else { break };
        let line = line(&tokenizer, canvas.tokens(), mask)?;
        if stdout().is_terminal() {
            print!("\r\x1b[K{line}");
            stdout().flush()?;
            std::thread::sleep(Duration::from_millis(60)); // this model is too fast to watch
        } else {
            println!("{line}");
        }
    }
    let output = run.take(0).expect("the run is done")?;
    let clear = if stdout().is_terminal() { "\r\x1b[K" } else { "" };
    println!("{clear}{}", line(&tokenizer, &output.tokens, mask)?);
    println!("{} forwards, ended by {:?}", output.denoiser_calls, output.finish);
    Ok(())
}
