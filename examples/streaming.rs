//! Streaming: takes a run step by step and shows the text as it appears, `░` at masked positions.
//!
//!     cargo run --release --example streaming ["<story>the old"]
//!
//! What to see: in a terminal, one line that fills up; elsewhere, one line a step. 40 forwards, one token
//! each. Ctrl-C ends the run, keeps the text so far, and makes the finish reason `Cancelled`.
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use conjoint::prelude::*;

/// The tokens as one line. In a terminal the `░` are dim.
fn line(tokenizer: &Tokenizer, tokens: &[TokenId], mask: TokenId) -> anyhow::Result<String> {
    let masked = if stdout().is_terminal() { "\x1b[2m░\x1b[0m" } else { "░" };
    let piece = |&token: &TokenId| match token == mask {
        true => Ok(masked.to_owned()),
        false => Ok(tokenizer.piece(token)?.replace("<eos>", "").replace('\n', "↵")),
    };
    tokens.iter().map(piece).collect()
}

fn main() -> anyhow::Result<()> {
    conjoint::runtime::ensure()?;
    let folder = conjoint_models::tiny();
    let tokenizer = Tokenizer::open(&folder)?;
    let generator = Generator::new(OnnxDenoiser::open(&folder, ExecutionProvider::Cpu)?).seed(1);
    let text = std::env::args().nth(1).unwrap_or_else(|| "<story>the old".to_owned());
    let mask = generator.vocabulary().mask();
    let canvas = Canvas::of_length(&tokenizer.encode(&text)?, 48, mask)?;

    let token = CancelToken::new();
    let at_ctrl_c = token.clone();
    ctrlc::set_handler(move || at_ctrl_c.cancel())?;
    let mut run = generator.start(vec![canvas])?.cancelled_by(token);
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
    println!("{} forwards, finish reason {:?}", output.denoiser_calls, output.finish);
    Ok(())
}
