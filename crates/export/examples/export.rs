//! Exports a checkpoint: `export CHECKPOINT [--sampler DIR] [--out DIR] [--portable] [--shift true|false]`.

use std::error::Error;

use conjoint_export::{ExportOptions, Operators, export};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "export CHECKPOINT [--sampler DIR] [--out DIR] [--portable] [--shift true|false]";
    let mut options = ExportOptions::new(arguments.next().ok_or(usage)?);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--sampler" => options.sampler = Some(arguments.next().ok_or(usage)?.into()),
            "--out" => options.out = Some(arguments.next().ok_or(usage)?.into()),
            "--portable" => options.operators = Operators::Portable,
            "--shift" => options.shift = Some(arguments.next().ok_or(usage)?.parse()?),
            _ => return Err(usage.into()),
        }
    }
    println!("{:#?}", export(&options)?);
    Ok(())
}
