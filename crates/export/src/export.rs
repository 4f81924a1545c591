//! Exporting a checkpoint: read and check everything, then write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conjoint_format::checkpoint::Tensor;
use conjoint_format::weights::SamplerWeights;
use conjoint_format::{Manifest, WeightFile};

use crate::build;
use crate::error::ExportError;
use crate::exported_files::ExportedFiles;
use crate::layout::resolved;
use crate::observer::ExportObserver;
use crate::options::ExportOptions;
use crate::output::Output;
use crate::quantise::QuantisedStore;
use crate::source::Source;
use crate::staging::Staging;
use crate::store::Store;

/// Writes the graphs and the manifest of a checkpoint.
///
/// Weights are not copied: the graphs point into the `.safetensors` files. A `pytorch_model.bin` is converted
/// to such a file, tensor by tensor, without running the pickle. The file is `model.safetensors` in another
/// output folder, and `weights/model.safetensors` in the checkpoint's own.
///
/// Every tensor is checked before anything is written. `conjoint.json` appears last, so an interrupted export
/// is never mistaken for a complete one.
///
/// # Errors
///
/// [`ExportError`] has a variant for each problem of a checkpoint or an output folder.
///
/// ```no_run
/// # fn main() -> Result<(), conjoint_export::ExportError> {
/// use conjoint_export::{ExportOptions, export};
///
/// let mut options = ExportOptions::new("checkpoints/Dream-v0-Base-7B");
/// options.sampler = Some("checkpoints/sampler".into());
/// let manifest = export(&options)?;
/// println!("wrote {}", manifest.graphs.backbone);
/// # Ok(())
/// # }
/// ```
#[doc(alias("convert", "Hugging Face", "ONNX"))]
pub fn export(options: &ExportOptions) -> Result<Manifest, ExportError> {
    export_observed(options, &mut ())
}

/// As [`export`], and reports long operations to `observer`.
///
/// # Errors
///
/// Those of [`export`].
pub fn export_observed(
    options: &ExportOptions,
    observer: &mut dyn ExportObserver,
) -> Result<Manifest, ExportError> {
    let (source, staging) = Source::read(options)?;
    let layout = &source.layout;
    let sampler = source.sampler.as_ref().map(|(weights, _)| weights);
    let quantised = options.quantisation.map(|q| QuantisedStore::new(q, &source.base, sampler));
    let store: &dyn Store = match &quantised {
        Some(quantised) => quantised,
        None => layout,
    };
    let graphs = build::graphs(&source, options.operators, store);

    let tensors =
        source.base.tensors().chain(sampler.into_iter().flat_map(SamplerWeights::tensors));
    let weight_files = match &quantised {
        None => weight_files(&source, tensors)?,
        Some(quantised) => {
            reject_overwriting(&source, quantised, tensors)?;
            Vec::new()
        }
    };
    let staging = match staging {
        Some(staging) => staging,
        None => Staging::new(&layout.out)?,
    };
    let earlier = ExportedFiles::earlier(&layout.out);
    let output =
        Output { options, source: &source, quantised: quantised.as_ref(), staging, earlier };
    output.write(graphs, weight_files, observer)
}

/// The checkpoint's weight files, each described under its name in the output folder.
fn weight_files<'a>(
    source: &Source,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<Vec<(WeightFile, &'a Path)>, ExportError> {
    let mut files = BTreeMap::new();
    for tensor in tensors {
        let name = source.layout.location(&tensor.file);
        let path = source.layout.out.join(&name);
        if *files.entry(name).or_insert(tensor.file.as_path()) != tensor.file {
            return Err(ExportError::Conflict { path });
        }
    }
    files.into_iter().map(|(name, file)| Ok((WeightFile::of(file, name)?, file))).collect()
}

/// Rejects an output folder in which quantised weights would overwrite the weights that they are made from.
fn reject_overwriting<'a>(
    source: &Source,
    quantised: &QuantisedStore,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<(), ExportError> {
    let out = &source.layout.out;
    let targets: Vec<PathBuf> =
        quantised.files.iter().map(|file| resolved(&out.join(&file.name))).collect();
    for tensor in tensors {
        let file = resolved(&tensor.file);
        if let Some(path) = targets.iter().find(|target| **target == file) {
            return Err(ExportError::Conflict { path: path.clone() });
        }
    }
    Ok(())
}
