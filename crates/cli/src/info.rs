//! `conjoint info`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use conjoint::Tokenizer;
use conjoint::export::{HeadTop, Manifest, SamplerRows};
use conjoint_lab::prompt::comma_separated;

use crate::flag::PLAIN;
use crate::model::needs;

/// Describe an exported model, and check its files
///
/// Checks against conjoint.json: the sizes and checksums of the files, the sizes and ids in config.json and in the graphs, and
/// the offsets of the tensors. Prints one line for each problem, and exits with 1 if there are any.
#[derive(Args)]
pub struct Arguments {
    /// Folder of the exported model
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    let manifest = Manifest::read(folder)?;
    print(folder, &manifest)?;
    let problems = manifest.problems(folder);
    let mut problems: Vec<_> =
        problems.iter().map(|problem| PLAIN.text(&problem.to_string())).collect();
    problems.extend(tokenizer_problem(folder, &manifest));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(anyhow::Error::msg(problems.join("\nerror: "))),
    }
}

/// The error of a folder's tokenizer, if it has one that cannot be read.
fn tokenizer_problem(folder: &Path, manifest: &Manifest) -> Option<String> {
    manifest.tokenizer.as_ref()?;
    let error = Tokenizer::open(folder).err()?;
    Some(format!("cannot read the tokenizer (token ids still work): {error}"))
}

/// Prints the description of an exported model.
pub fn print(folder: &Path, manifest: &Manifest) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let id = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let size = |name: &str| match std::fs::metadata(folder.join(name)) {
        Ok(file) => format!("{name} ({})", indicatif::HumanBytes(file.len())),
        Err(_) => name.to_owned(),
    };
    let tokens = &manifest.tokens;
    writeln!(out, "{}", folder.display())?;
    match manifest.quantised {
        None => writeln!(out, "  family      {:?}, {:?} weights", manifest.family, manifest.dtype)?,
        Some(bits) => writeln!(
            out,
            "  family      {:?}, {bits} weights, quantised from {:?}",
            manifest.family, manifest.dtype
        )?,
    }
    writeln!(
        out,
        "  sizes       {} layers, hidden {}, FFN {}, heads {}/{} of {}, vocabulary {}",
        manifest.layers,
        manifest.hidden_size,
        manifest.ffn_size,
        manifest.heads,
        manifest.kv_heads,
        manifest.head_dim,
        manifest.vocab_size
    )?;
    writeln!(out, "  positions   at most {}", manifest.max_positions)?;
    writeln!(
        out,
        "  special ids mask {}, eos {}, pad {}, bos {}",
        tokens.mask,
        match tokens.eos.as_slice() {
            [] => "none".to_owned(),
            ids => comma_separated(ids),
        },
        id(tokens.pad),
        id(tokens.bos)
    )?;
    if let Some(named) = tokens.assigned.filter(|&assigned| assigned < manifest.vocab_size) {
        writeln!(out, "  no token    ids from {named} on, banned by default")?;
    }
    match manifest.attention_block {
        None => writeln!(out, "  attention   full")?,
        Some(block) => writeln!(out, "  attention   blocks of {block} positions")?,
    }
    writeln!(out, "  shift       {}", if manifest.shift { "yes" } else { "no" })?;
    writeln!(out, "  backbone    {}", size(&manifest.graphs.backbone))?;
    writeln!(out, "  head        {}", size(&manifest.graphs.head))?;
    if let Some(HeadTop { graph, k }) = &manifest.graphs.head_top {
        writeln!(out, "  top-K head  {}, top {k}", size(graph))?;
    }
    match (&manifest.graphs.sampler, &manifest.graphs.sampler_rows) {
        (Some(sampler), _) => {
            writeln!(out, "  sampler     {}, a pass computes the whole sequence", size(sampler))?;
        }
        (None, Some(SamplerRows { context, pass })) => {
            let (context, pass) = (size(context), size(pass));
            writeln!(out, "  sampler     {context}, {pass}, a pass computes rows")?;
        }
        (None, None) => {
            writeln!(out, "  sampler     none (export with --sampler to use `--unmasker joint`)")?;
        }
    }
    if let Ok(footprint) = manifest.footprint(folder) {
        writeln!(out, "  on a CPU    {}", needs(footprint.total()))?;
    }
    let tokenizer = manifest.tokenizer.as_deref().unwrap_or("none");
    match tokenizer_problem(folder, manifest) {
        None => writeln!(out, "  tokenizer   {tokenizer}")?,
        Some(problem) => writeln!(out, "  tokenizer   {problem}")?,
    }
    let provenance = &manifest.provenance;
    if !provenance.ignored_keys.is_empty() {
        writeln!(out, "  ignored     {} of config.json", provenance.ignored_keys.join(", "))?;
    }
    for note in &provenance.notes {
        writeln!(out, "  note        {}", PLAIN.text(note))?;
    }
    Ok(())
}
