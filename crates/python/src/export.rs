//! `conjoint.export`.

use std::path::{Path, PathBuf};

use conjoint::export::{ExportOptions, GivenTokens, Operators, Quantisation, SamplerForm};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{export_exception, invalid, warn};
use crate::kwargs::{Kwargs, Word};
use crate::settings::token_name;

/// Exports a Hugging Face checkpoint to ONNX graphs.
///
/// Weights are not copied: the graphs point into the checkpoint's files. ONNX Runtime is not needed.
///
/// Args:
///     checkpoint: Folder of the checkpoint.
///     out: Folder to write to. By default the checkpoint's own.
///     sampler: Folder of a sampler layer's checkpoint.
///     passes: Rows that a sampler pass computes: "sequence" or "rows". By default as the layer was trained.
///     quantize: "int8" or "int4", for less memory at a loss of quality.
///     portable: Whether to use primitive operators only, for runtimes without the fused ones.
///     shift: Whether row i of the logits predicts position i + 1, where the architecture does not decide it.
///     attention_block: Length of the attention blocks of a block-causal model, in positions; 0 for full attention.
///     ignore_keys: Unknown keys of config.json to ignore.
///     mask_id: The mask token, by id or by text, where the checkpoint's files do not name it.
///     eos: Tokens that end a sequence, by id or by text, instead of those in the checkpoint's files.
///     head_top: Number of tokens of each row that the top-K head returns; 0 writes no such head. By default 64.
///
/// Returns:
///     The folder of the export, for `conjoint.open`.
///
/// Raises:
///     ValueError: An argument is invalid or missing, or the folder is no checkpoint.
///     conjoint.Error: The checkpoint cannot be exported, or files cannot be written.
#[pyfunction]
#[pyo3(
    signature = (checkpoint, out=None, **options),
    text_signature = "(checkpoint, out=None, *, sampler=None, passes=None, quantize=None, portable=False, shift=None, \
        attention_block=None, ignore_keys=None, mask_id=None, eos=None, head_top=64)"
)]
pub fn export(
    py: Python<'_>,
    checkpoint: PathBuf,
    out: Option<PathBuf>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<PathBuf> {
    let kwargs = Kwargs::new(py, "export", options)?;
    let folder = out.clone().unwrap_or_else(|| checkpoint.clone());
    check(&folder)?;
    let mut options = ExportOptions::new(checkpoint);
    options.out = out;
    options.sampler = kwargs.path("sampler")?;
    options.passes = kwargs.text("passes")?.map(|text| form(&text)).transpose()?;
    options.quantisation = kwargs.text("quantize")?.map(|text| quantisation(&text)).transpose()?;
    if kwargs.flag("portable")?.unwrap_or(false) {
        options.operators = Operators::Portable;
    }
    options.shift = kwargs.flag("shift")?;
    options.attention_block = kwargs.count("attention_block")?;
    let keys = kwargs.words("ignore_keys")?.unwrap_or_default();
    options.ignored_keys = keys.iter().map(Word::to_string).collect();
    options.given_tokens = tokens(&kwargs)?;
    options.head_top = Some(kwargs.count("head_top")?.unwrap_or(64)).filter(|&k| k > 0);
    kwargs.finish()?;
    let layers = ["sampler.onnx", "sampler-rows.onnx"];
    let had_layer = layers.iter().any(|name| folder.join(name).exists());
    let exported = py.detach(|| conjoint::export::export(&options));
    exported.map_err(|error| export_exception(&error))?;
    if had_layer && options.sampler.is_none() {
        let place = folder.display();
        let lost = format!(
            "the previous export in {place} had a sampler layer, and this one has none: give its folder with `sampler` to \
             keep it"
        );
        warn(py, lost)?;
    }
    Ok(folder)
}

/// Rejects an output path that is not a folder.
fn check(out: &Path) -> PyResult<()> {
    match out.exists() && !out.is_dir() {
        true => Err(invalid("out", &out.display().to_string(), "it is a file, expected a folder")),
        false => Ok(()),
    }
}

fn form(text: &str) -> PyResult<SamplerForm> {
    text.parse().map_err(|_| invalid("passes", text, "expected sequence or rows"))
}

fn quantisation(text: &str) -> PyResult<Quantisation> {
    text.parse().map_err(|reason: String| invalid("quantize", text, &reason))
}

fn tokens(kwargs: &Kwargs<'_>) -> PyResult<GivenTokens> {
    let mask = kwargs.words("mask_id")?;
    let several = || invalid("mask_id", "a list", "expected one id or token");
    let mask = match mask.map(<[Word; 1]>::try_from) {
        None => None,
        Some(Ok([word])) => Some(token_name("mask_id", word)?),
        Some(Err(_)) => return Err(several()),
    };
    let eos = kwargs.words("eos")?.unwrap_or_default();
    Ok(GivenTokens {
        mask,
        eos: eos.into_iter().map(|word| token_name("eos", word)).collect::<PyResult<_>>()?,
    })
}
