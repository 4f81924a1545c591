//! A checkpoint that has been read and checked for an export.

use std::fs;
use std::path::{Path, PathBuf};

use conjoint_format::blueprint::{Blueprint, Overrides};
use conjoint_format::checkpoint::{Checkpoint, find_pickled, read_config, reject_adapter};
use conjoint_format::names::{INDEX, PICKLED, SINGLE};
use conjoint_format::path_check;
use conjoint_format::weights::{BaseWeights, SamplerWeights, find_sampler};
use conjoint_format::{FormatError, HeadTop, Manifest, Operators, SamplerForm, SpecialTokens};

use crate::error::ExportError;
use crate::graph_names::HEAD_TOP;
use crate::layout::Layout;
use crate::options::ExportOptions;
use crate::pickle;
use crate::staging::Staging;

/// A checkpoint that has been read and checked: everything that its graphs are built from.
pub(crate) struct Source {
    pub(crate) blueprint: Blueprint,
    pub(crate) tokens: SpecialTokens,
    pub(crate) base: BaseWeights,
    pub(crate) sampler: Option<(SamplerWeights, SamplerForm)>,
    pub(crate) head_top: Option<HeadTop>,
    pub(crate) layout: Layout,
    /// Notes on defaults and problems, a sentence each.
    pub(crate) notes: Vec<String>,
    /// The first tensor of a sampler layer that the export leaves out.
    pub(crate) unused_sampler: Option<String>,
}

impl Source {
    /// Reads and checks a checkpoint. Pickled weights are converted into the output folder, whose [`Staging`]
    /// is then returned.
    pub(crate) fn read(options: &ExportOptions) -> Result<(Self, Option<Staging>), ExportError> {
        path_check::check_checkpoint(&options.checkpoint)?;
        options.sampler.as_deref().map_or(Ok(()), path_check::check_weights)?;
        let mut layout = Layout::new(&options.checkpoint, options.out.as_deref());
        reject_adapter(&options.checkpoint)?;
        reject_quantised(options)?;
        let config = read_config(&options.checkpoint)?;
        Blueprint::check_keys(&config, &options.ignored_keys)?;
        let given = &options.given_tokens;
        Blueprint::reject_causal(&config, SpecialTokens::defines_mask(&config, given))?;
        let overrides =
            Overrides { shift: options.shift, attention_block: options.attention_block };
        let blueprint = Blueprint::read(&config, overrides)?;
        let (tokens, notes) = SpecialTokens::find(&config, given, blueprint.vocab_size)?;
        let head_top = options.head_top.map(|k| head_top(k, blueprint.vocab_size)).transpose()?;
        let (mut checkpoint, staging) = open_checkpoint(options, &mut layout)?;
        let base = BaseWeights::take(&blueprint, &mut checkpoint)?;
        if options.sampler.is_some() {
            blueprint.check_sampler(&config)?;
        }
        let unused_sampler = find_sampler(&checkpoint).filter(|_| options.sampler.is_none());
        let unused_sampler = unused_sampler.map(str::to_owned);
        let sampler = options.sampler.as_ref().map(|folder| {
            let mut checkpoint = Checkpoint::open(folder)?;
            let form = sampler_form(options, &checkpoint)?;
            Ok::<_, FormatError>((SamplerWeights::take(&blueprint, &mut checkpoint)?, form))
        });
        let sampler = sampler.transpose()?;
        let source =
            Self { blueprint, tokens, base, sampler, head_top, layout, notes, unused_sampler };
        Ok((source, staging))
    }

    /// All notes of the export: defaults of the configuration, the choice of the output layer, then problems of
    /// the files.
    pub(crate) fn all_notes(&self) -> Vec<String> {
        let head = &self.base.head.output.weight;
        let own_head = self.blueprint.tied && *head != self.base.embed.table;
        let note_on_head = || {
            format!(
                "config.json says that the output layer is the embedding table, but the weights hold another one, {}: that one is used",
                head.name
            )
        };
        let note_on_sampler = self.unused_sampler.as_ref().map(|tensor| {
            format!("the weights hold a sampler layer too, {tensor}, which is left out: no `sampler` was given")
        });
        let notes = self.blueprint.notes.iter().cloned().chain(own_head.then(note_on_head));
        notes.chain(self.notes.iter().cloned()).chain(note_on_sampler).collect()
    }
}

/// Rejects options and folders that exclude quantised weights.
fn reject_quantised(options: &ExportOptions) -> Result<(), ExportError> {
    if options.quantisation.is_some() && options.operators == Operators::Portable {
        return Err(ExportError::QuantisedPortable);
    }
    let path = &options.checkpoint;
    let weights = [SINGLE, INDEX, PICKLED];
    match Manifest::read_now(path).ok().and_then(|manifest| manifest.quantised) {
        Some(quantised) if weights.iter().all(|name| !path.join(name).exists()) => {
            Err(ExportError::QuantisedCheckpoint { path: path.clone(), quantised })
        }
        _ => Ok(()),
    }
}

/// The top-K head. K is reduced to the vocabulary's size.
fn head_top(k: usize, vocabulary: usize) -> Result<HeadTop, ExportError> {
    if k < 2 {
        return Err(ExportError::HeadTop { got: k });
    }
    Ok(HeadTop { graph: HEAD_TOP.into(), k: k.min(vocabulary) })
}

/// Opens the checkpoint's weights. Converts pickled ones first.
fn open_checkpoint(
    options: &ExportOptions,
    layout: &mut Layout,
) -> Result<(Checkpoint, Option<Staging>), ExportError> {
    let Some(bin) = find_pickled(&options.checkpoint) else {
        return Ok((Checkpoint::open(&options.checkpoint)?, None));
    };
    let mut staging = Staging::new(&layout.out)?;
    let converted = convert(&mut staging, layout.converted_name(), &bin)?;
    layout.set_converted(converted.clone());
    Ok((Checkpoint::open_in(&options.checkpoint, &converted)?, Some(staging)))
}

/// Converts pickled weights into the output folder, and returns the file's temporary path.
fn convert(staging: &mut Staging, name: &str, bin: &Path) -> Result<PathBuf, ExportError> {
    let bytes = fs::metadata(bin).map_err(FormatError::io("read", bin))?.len();
    staging.write_large(name, bytes, |path, file| pickle::convert(bin, file, path))
}

/// The form of passes: the requested one, or the one in which the sampler's weights were trained.
fn sampler_form(options: &ExportOptions, sampler: &Checkpoint) -> Result<SamplerForm, FormatError> {
    if let Some(form) = options.passes {
        return Ok(form);
    }
    let Some((path, name)) = sampler.metadata(SamplerForm::KEY) else {
        return Ok(SamplerForm::default());
    };
    name.parse().map_err(|reason| FormatError::Header {
        path: path.into(),
        reason: format!("{} in its metadata: {reason}", SamplerForm::KEY),
    })
}
