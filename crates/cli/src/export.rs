//! `conjoint export`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use conjoint::export::{
    ExportError, ExportOptions, FormatError, GivenTokens, Operators, Quantisation, SamplerForm,
    TokenName, export_observed,
};

use crate::flag::{InvalidArgument, PLAIN};
use crate::info;
use crate::progress::Bytes;

/// Export a checkpoint to ONNX graphs
///
/// Reads config.json and the .safetensors files of a Hugging Face checkpoint: Dream, LLaDA, a Qwen-based masked or block
/// diffusion model, or BERT, ALBERT or ModernBERT for masked language modelling. A pytorch_model.bin is converted first.
///
/// Writes backbone.onnx, head.onnx, head-top.onnx, conjoint.json and, with --sampler, the graphs of the sampler layer. Weights
/// are not copied: the graphs point into the .safetensors files. With --quantize the weights get a new file,
/// model-int8.safetensors or model-int4.safetensors, and the graphs need no other:
///
///     conjoint export llada-8b --quantize int8 --out llada-8b-int8    # 8 GB, and as much memory to run
///     conjoint export llada-8b --quantize int4 --out llada-8b-int4    # 5 GB, further from the model
///
/// docs/quantisation.md has the quality, speed and memory of each.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Folder of the checkpoint
    #[arg(value_name = "CHECKPOINT_DIR")]
    checkpoint: PathBuf,
    /// Folder of a sampler layer's checkpoint, such as that of `conjoint train sampler`
    #[arg(long, value_name = "SAMPLER_DIR")]
    sampler: Option<PathBuf>,
    /// Rows that a sampler pass computes. sequence: all rows, the published form. rows: only those that a step uses, at a fraction
    /// of the cost [default: the form that the layer was trained in; sequence for published layers]
    #[arg(long, value_name = "FORM", requires = "sampler", value_parser = form)]
    passes: Option<SamplerForm>,
    /// Folder to write to. Weights are hard-linked, or copied to another file system [default: the checkpoint's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Store matrices as int8 or int4, for less memory and faster products on a CPU, at a loss of quality
    #[arg(long, value_name = "BITS", conflicts_with = "portable")]
    quantize: Option<Quantisation>,
    /// Build the graphs from primitive operators, for runtimes without the fused ones (TensorRT)
    #[arg(long)]
    portable: bool,
    /// Whether row i of the logits predicts position i + 1. Required if the architecture does not decide it
    /// [default: true for Dream, false for LLaDA and encoders]
    #[arg(long)]
    shift: Option<bool>,
    /// Length of the attention blocks of a block-causal model (SDAR, TraDo, Fast-dLLM v2, bd3lm, DreamReasoner); 0 for full
    /// attention. Required if the model has blocks and config.json does not give their length [default: block_size or bd_size
    /// of config.json]
    #[arg(long, value_name = "B")]
    attention_block: Option<usize>,
    /// Ignore an unknown key of config.json that does not affect the model's computation. May be repeated
    #[arg(long = "ignore-key", value_name = "KEY")]
    ignored_keys: Vec<String>,
    /// Mask token, as an id or as the tokenizer writes it. Required if the checkpoint's files do not name it
    #[arg(long, value_name = "ID|TOKEN")]
    mask_id: Option<TokenName>,
    /// Token that ends a sequence, as an id or as the tokenizer writes it, instead of those in the checkpoint's files. May be
    /// repeated
    #[arg(long, value_name = "ID|TOKEN")]
    eos: Vec<TokenName>,
    /// Number of the most probable tokens that the top-K head returns for each row; 0 writes no such head
    #[arg(long, value_name = "K", default_value_t = 64)]
    head_top: usize,
}

/// Parses a form of passes.
fn form(text: &str) -> Result<SamplerForm, String> {
    text.parse().map_err(|_| "expected sequence or rows".to_owned())
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let operators = if arguments.portable { Operators::Portable } else { Operators::Fused };
    check(arguments)?;
    let folder = arguments.out.as_ref().unwrap_or(&arguments.checkpoint);
    let had_sampler =
        ["sampler.onnx", "sampler-rows.onnx"].iter().any(|name| folder.join(name).exists());
    let mut options = ExportOptions::new(&arguments.checkpoint);
    options.sampler = arguments.sampler.clone();
    options.passes = arguments.passes;
    options.out = arguments.out.clone();
    options.operators = operators;
    options.shift = arguments.shift;
    options.attention_block = arguments.attention_block;
    options.ignored_keys = arguments.ignored_keys.clone();
    options.given_tokens =
        GivenTokens { mask: arguments.mask_id.clone(), eos: arguments.eos.clone() };
    options.head_top = Some(arguments.head_top).filter(|&k| k > 0);
    options.quantisation = arguments.quantize;
    let manifest = export_observed(&options, &mut Bytes::default());
    let manifest = manifest.map_err(|error| with_flag(arguments, error))?;
    if had_sampler && arguments.sampler.is_none() {
        let folder = folder.display();
        eprintln!(
            "The previous export in {folder} had a sampler layer, and this one has none: give its folder with \
             --sampler to keep it."
        );
    }
    info::print(folder, &manifest)
}

/// Rejects an output path that is not a folder.
fn check(arguments: &Arguments) -> Result<(), InvalidArgument> {
    match &arguments.out {
        Some(out) if out.exists() && !out.is_dir() => {
            Err(InvalidArgument::new("--out", out.display(), "it is a file, expected a folder"))
        }
        _ => Ok(()),
    }
}

/// Names the flag that caused an error, or that solves it.
fn with_flag(arguments: &Arguments, error: ExportError) -> anyhow::Error {
    let out = arguments.out.as_ref();
    let text = PLAIN.text(&error.to_string());
    match &error {
        ExportError::Format(error) => with_format_flag(arguments, error, text),
        ExportError::ReadOnly { .. } => match out {
            Some(out) => InvalidArgument::new("--out", out.display(), text).into(),
            None => InvalidArgument::missing("--out", text).into(),
        },
        ExportError::HeadTop { got } => {
            let reason = "expected a whole number of at least 2, or 0 for no top-K head";
            InvalidArgument::new("--head-top", *got, reason).into()
        }
        ExportError::Unlinkable { .. } => InvalidArgument::missing("--out", text).into(),
        ExportError::NoSpace { path, .. } => {
            let flag = if out.is_some() { "--out" } else { "CHECKPOINT_DIR" };
            InvalidArgument::new(flag, path.display(), text).into()
        }
        _ => anyhow::Error::msg(text),
    }
}

/// Names the flag that would help with an invalid checkpoint.
fn with_format_flag(arguments: &Arguments, error: &FormatError, text: String) -> anyhow::Error {
    let Arguments { checkpoint, sampler, .. } = arguments;
    match error {
        FormatError::NotACheckpoint { path, reason } => {
            let reason = PLAIN.text(reason);
            match (path == checkpoint, sampler.as_ref() == Some(path)) {
                (true, _) => InvalidArgument::new("CHECKPOINT_DIR", path.display(), reason).into(),
                (_, true) => InvalidArgument::new("--sampler", path.display(), reason).into(),
                _ => anyhow::Error::msg(text),
            }
        }
        FormatError::SamplerLayer { path, reason } => {
            InvalidArgument::new("--sampler", path.display(), reason).into()
        }
        FormatError::MissingTensor { path, .. }
        | FormatError::TensorShape { path, .. }
        | FormatError::MissingFile { path, .. } => match sampler {
            Some(sampler) if path.starts_with(sampler) && sampler != checkpoint => {
                InvalidArgument::new("--sampler", sampler.display(), text).into()
            }
            _ => anyhow::Error::msg(text),
        },
        FormatError::ShiftUnknown { .. } => InvalidArgument::missing("--shift", text).into(),
        FormatError::AttentionBlockUnknown { .. } => {
            InvalidArgument::missing("--attention-block", text).into()
        }
        FormatError::AttentionBlockOfEncoder { got, .. } => {
            let reason = "expected 0, because an encoder attends to all positions";
            InvalidArgument::new("--attention-block", *got, reason).into()
        }
        FormatError::UnknownKeys { .. } => InvalidArgument::missing("--ignore-key", text).into(),
        FormatError::IgnoredKey { key, .. } => {
            InvalidArgument::new("--ignore-key", key.clone(), text).into()
        }
        FormatError::NoMask { .. } => InvalidArgument::missing("--mask-id", text).into(),
        FormatError::GivenToken { role, got, expected } => {
            let flag = if *role == "mask" { "--mask-id" } else { "--eos" };
            InvalidArgument::new(flag, got, format!("expected {expected}")).into()
        }
        _ => anyhow::Error::msg(text),
    }
}
