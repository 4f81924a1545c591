//! Trains the small base model for some minutes; run again, it continues where it stopped:
//! `cargo run --release -p conjoint-train --example base -- runs/base 60`.

use conjoint_train::base::{BaseOptions, train_base};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut options = BaseOptions::default();
    options.run.dir = args.next().unwrap_or("runs/base".into()).into();
    options.run.max_minutes = Some(args.next().as_deref().unwrap_or("60").parse()?);
    println!("{:#?}", train_base(&options)?);
    Ok(())
}
