//! `conjoint info`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use conjoint::export::Manifest;

/// Describe an exported model
#[derive(Args)]
pub struct Arguments {
    /// Folder of the exported model
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    print(&arguments.folder, &Manifest::read(&arguments.folder)?)
}

/// Prints what a folder holds.
pub fn print(folder: &Path, manifest: &Manifest) -> Result<()> {
    let id = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let size = |name: &str| {
        let bytes = std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        format!("{name} ({})", indicatif::HumanBytes(bytes))
    };
    let tokens = &manifest.tokens;
    println!("{}", folder.display());
    println!("  family      {:?}, {:?} weights", manifest.family, manifest.dtype);
    println!(
        "  sizes       {} layers, hidden {}, FFN {}, heads {}/{} of {}, vocabulary {}",
        manifest.layers,
        manifest.hidden_size,
        manifest.ffn_size,
        manifest.heads,
        manifest.kv_heads,
        manifest.head_dim,
        manifest.vocab_size
    );
    println!("  positions   at most {}", manifest.max_positions);
    println!(
        "  special ids mask {}, eos {}, pad {}, bos {}",
        tokens.mask,
        id(tokens.eos),
        id(tokens.pad),
        id(tokens.bos)
    );
    println!("  shift       {}", if manifest.shift { "yes, inside backbone" } else { "no" });
    println!("  backbone    {}", size(&manifest.graphs.backbone));
    println!("  head        {}", size(&manifest.graphs.head));
    match &manifest.graphs.sampler {
        Some(sampler) => println!("  sampler     {}", size(sampler)),
        None => println!("  sampler     none (export with --sampler to use `--unmasker joint`)"),
    }
    println!("  tokenizer   {}", manifest.tokenizer.as_deref().unwrap_or("none"));
    Ok(())
}
