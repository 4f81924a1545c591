//! From a checkpoint folder to graphs: read and check everything, then write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::blueprint::Blueprint;
use crate::brought::{Brought, checksum};
use crate::checkpoint::{self, Checkpoint, Tensor};
use crate::error::ExportError;
use crate::folder::{Staging, Transfer};
use crate::layout::{CONVERTED, Layout, resolved};
use crate::manifest::{Graphs, HeadTop, MANIFEST, Manifest, Provenance, SamplerRows};
use crate::model::Builder;
use crate::observer::ExportObserver;
use crate::operators::Operators;
use crate::pickle::{self, PICKLED};
use crate::quantise::{Plan, Quantisation, QuantisedStore};
use crate::sampler_form::SamplerForm;
use crate::sniff;
use crate::store::Store;
use crate::tokens::{GivenTokens, SpecialTokens};
use crate::weight_file::WeightFile;
use crate::weights::{BaseWeights, SamplerWeights, sampler_in};

/// What to export, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// Folder with `config.json` and `model.safetensors`, with shards and their index, or with a `pytorch_model.bin`.
    pub checkpoint: PathBuf,
    /// Folder with the sampler layer's tensors (`drafter.*`), which needs no `config.json`.
    pub sampler: Option<PathBuf>,
    /// Which rows a pass of the sampler layer computes; as its weights say by default, and over whole sequences where they
    /// say nothing.
    pub passes: Option<SamplerForm>,
    /// Folder to write to; the checkpoint's own by default.
    ///
    /// Weights get there as hard links, or as copies where linking fails.
    pub out: Option<PathBuf>,
    /// Which ONNX operators to use.
    pub operators: Operators,
    /// Whether row i of the model's logits predicts position i + 1, where the model's kind does
    /// not settle that or settles it wrongly.
    pub shift: Option<bool>,
    /// Keys of `config.json` that this crate does not know, and that change nothing in what the model computes.
    pub ignored_keys: Vec<String>,
    /// Special ids where the checkpoint's files do not say them, or say them wrongly.
    pub given_tokens: GivenTokens,
    /// K, the number of most probable tokens that the top-K head gives of a row, at least 2; a K beyond the
    /// vocabulary is brought to its size. `None` exports no top-K head.
    pub head_top: Option<usize>,
    /// In how many bits the matrices are to be stored, in a file of its own beside the graphs, which then do not need the
    /// checkpoint's weights. `None` points into them.
    pub quantisation: Option<Quantisation>,
}

impl ExportOptions {
    /// Exports a checkpoint into its own folder, without a sampler layer and a top-K head.
    pub fn new(checkpoint: impl Into<PathBuf>) -> Self {
        Self {
            checkpoint: checkpoint.into(),
            sampler: None,
            passes: None,
            out: None,
            operators: Operators::default(),
            shift: None,
            ignored_keys: Vec::new(),
            given_tokens: GivenTokens::default(),
            head_top: None,
            quantisation: None,
        }
    }
}

/// File name of the graph of a sampler layer over whole sequences.
const SAMPLER: &str = "sampler.onnx";

/// File names of the graphs of a sampler layer over rows.
const SAMPLER_CONTEXT: &str = "sampler-context.onnx";
const SAMPLER_ROWS: &str = "sampler-rows.onnx";

/// File name of the top-K head's graph.
const HEAD_TOP: &str = "head-top.onnx";

/// Files of a checkpoint that are neither weights nor code.
pub(crate) const COMPANIONS: [&str; 11] = [
    "config.json",
    "generation_config.json",
    checkpoint::INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
];

/// Writes the graphs and the manifest of a checkpoint.
///
/// Weights stay where they are: the graphs point into the `.safetensors` files. A `pytorch_model.bin` is converted to such a
/// file, tensor by tensor: to `model.safetensors` in another folder, to `weights/model.safetensors` in the checkpoint's own.
/// Nothing that was pickled is run. Every tensor is
/// checked before anything is written, and `conjoint.json` appears last, so an interrupted export
/// is never taken for a whole one.
///
/// # Errors
///
/// [`ExportError`] has one variant for each thing that can be wrong with a checkpoint; see there.
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
pub fn export(options: &ExportOptions) -> Result<Manifest, ExportError> {
    export_observed(options, &mut ())
}

/// As [`export`], with someone to tell of what takes long.
///
/// # Errors
///
/// Those of [`export`].
pub fn export_observed(
    options: &ExportOptions,
    observer: &mut dyn ExportObserver,
) -> Result<Manifest, ExportError> {
    sniff::checkpoint(&options.checkpoint)?;
    options.sampler.as_deref().map_or(Ok(()), sniff::weights)?;
    let mut layout = Layout::new(&options.checkpoint, options.out.as_deref());
    checkpoint::reject_adapter(&options.checkpoint)?;
    reject_quantised(options)?;
    let config = checkpoint::read_config(&options.checkpoint)?;
    Blueprint::check_keys(&config, &options.ignored_keys)?;
    let given = &options.given_tokens;
    Blueprint::reject_causal(&config, SpecialTokens::name_mask(&config, given))?;
    let blueprint = Blueprint::read(&config, options.shift)?;
    let (tokens, mut notes) =
        SpecialTokens::find(&config, &options.given_tokens, blueprint.vocab_size)?;
    let head_top = options.head_top.map(|k| HeadTop::new(HEAD_TOP, k, blueprint.vocab_size));
    let head_top = head_top.transpose()?;
    let mut staging = None;
    let mut checkpoint = match checkpoint::find_pickled(&options.checkpoint) {
        None => Checkpoint::open(&options.checkpoint)?,
        Some(bin) => {
            let staging = staging.insert(Staging::new(&layout.out)?);
            let made = convert(staging, layout.converted(), &bin)?;
            layout.made(made.clone());
            Checkpoint::of(&options.checkpoint, &made)?
        }
    };
    let base = BaseWeights::take(&blueprint, &mut checkpoint)?;
    if options.sampler.is_some() {
        blueprint.check_sampler(&config)?;
    }
    let unused = sampler_in(&checkpoint).filter(|_| options.sampler.is_none());
    let sampler = options.sampler.as_ref().map(|folder| {
        let mut checkpoint = Checkpoint::open(folder)?;
        let form = form(options, &checkpoint)?;
        Ok::<_, ExportError>((SamplerWeights::take(&blueprint, &mut checkpoint)?, form))
    });
    let (sampler, form) = sampler.transpose()?.unzip();

    let quantised = options.quantisation.map(|q| QuantisedStore::new(q, &base, sampler.as_ref()));
    let store: &dyn Store = match &quantised {
        Some(quantised) => quantised,
        None => &layout,
    };
    let builder = Builder { blueprint: &blueprint, operators: options.operators, store };
    let mut graphs =
        vec![("backbone.onnx", builder.backbone(&base)), ("head.onnx", builder.head(&base))];
    if let Some(HeadTop { k, .. }) = head_top {
        graphs.push((HEAD_TOP, builder.head_top(&base, k)));
    }
    match (&sampler, form) {
        (Some(sampler), Some(SamplerForm::Rows)) => {
            graphs.push((SAMPLER_CONTEXT, builder.sampler_context(&base, sampler)));
            graphs.push((SAMPLER_ROWS, builder.sampler_rows(&base, sampler)));
        }
        (Some(sampler), _) => graphs.push((SAMPLER, builder.sampler(&base, sampler))),
        (None, _) => {}
    }

    let tensors = base.tensors().chain(sampler.iter().flat_map(SamplerWeights::tensors));
    let sources = match &quantised {
        None => sources(&layout, tensors)?,
        Some(quantised) => {
            reject_overwriting(&layout, quantised, tensors)?;
            Vec::new()
        }
    };
    let mut staging = match staging {
        Some(staging) => staging,
        None => Staging::new(&layout.out)?,
    };
    let mut earlier = Brought::earlier(&layout.out);
    let (mut weights, mut brought) = (Vec::new(), BTreeMap::new());
    for (file, path) in sources {
        if layout.bring(&mut staging, path, &earlier)? {
            brought.insert(file.name.clone(), file.sha256.clone());
        }
        weights.push(file);
    }
    staging.copy(observer)?;
    if let Some(quantised) = &quantised {
        weights = quantise(&mut staging, quantised, observer)?;
        layout.discard(&mut staging);
    }
    notes.splice(0..0, notes_of(&blueprint, &base));
    let mut manifest =
        manifest(options, &blueprint, (tokens, notes), (head_top, form), &base, weights);
    manifest.provenance.notes.extend(unused.map(|tensor| {
        format!("the weights hold a sampler layer too, {tensor}, which is left out: no `sampler` was given")
    }));

    // The index is of shards that a quantised export does not have.
    let is_companion = |name: &&str| {
        let needed = quantised.is_none() || *name != checkpoint::INDEX;
        needed && options.checkpoint.join(name).exists()
    };
    let companions: Vec<_> = COMPANIONS.into_iter().filter(is_companion).collect();
    if !layout.in_place {
        for &name in &companions {
            let file = options.checkpoint.join(name);
            if staging.bring(&file, name, Transfer::Copy, earlier.existing(name))? {
                brought.insert(name.into(), checksum(&file)?);
            }
        }
    }
    // A sampler layer that the user has not asked to replace may be the only copy of it.
    let kept = |name: &str| options.sampler.is_none() && name.starts_with("sampler");
    let is_weight = |name: &str| manifest.provenance.weights.iter().any(|file| file.name == name);
    let is_used = |name: &str| is_weight(name) || companions.contains(&name) || kept(name);
    manifest.provenance.brought = earlier.take_used(is_used);
    manifest.provenance.brought.append(&mut brought);
    for (name, graph) in graphs {
        staging.write(name, &graph.encode_to_vec())?;
    }
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(ExportError::json(layout.out.join(MANIFEST)))?;
    let replaced = Manifest::read_now(&layout.out).ok();
    if !(staging.is_empty() && staging.holds(MANIFEST, &text)) {
        staging.write_again(MANIFEST, &text)?;
        // From here on the folder is in between two exports, which the manifest's absence tells.
        let _ = fs::remove_file(layout.out.join(MANIFEST));
    }
    let _lock = staging.commit()?;
    earlier.remove(&layout.out);
    // Left by an earlier export; nothing names them any more.
    for name in [SAMPLER, SAMPLER_CONTEXT, SAMPLER_ROWS, HEAD_TOP, CONVERTED] {
        let mut weights = manifest.provenance.weights.iter().map(|file| file.name.as_str());
        if manifest.graphs.names().all(|own| own != name) && weights.all(|own| own != name) {
            let _ = fs::remove_file(layout.out.join(name));
        }
    }
    let replaced = replaced.filter(|earlier| earlier.quantised.is_some());
    for file in replaced.into_iter().flat_map(|earlier| earlier.provenance.weights) {
        if manifest.provenance.weights.iter().all(|own| own.name != file.name) {
            let _ = fs::remove_file(layout.out.join(file.name));
        }
    }
    Ok(manifest)
}

/// Rejects options and folders that quantised weights do not go with.
fn reject_quantised(options: &ExportOptions) -> Result<(), ExportError> {
    if options.quantisation.is_some() && options.operators == Operators::Portable {
        return Err(ExportError::QuantisedPortable);
    }
    let path = &options.checkpoint;
    let own = [checkpoint::SINGLE, checkpoint::INDEX, PICKLED];
    match Manifest::read_now(path).ok().and_then(|manifest| manifest.quantised) {
        Some(quantised) if own.iter().all(|name| !path.join(name).exists()) => {
            Err(ExportError::QuantisedCheckpoint { path: path.clone(), quantised })
        }
        _ => Ok(()),
    }
}

/// The checkpoint's own files, each with its name in the output folder.
fn sources<'a>(
    layout: &Layout,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<Vec<(WeightFile, &'a Path)>, ExportError> {
    let mut files = BTreeMap::new();
    for tensor in tensors {
        let name = layout.location(&tensor.file);
        let path = layout.out.join(&name);
        if *files.entry(name).or_insert(tensor.file.as_path()) != tensor.file {
            return Err(ExportError::Conflict { path });
        }
    }
    files.into_iter().map(|(name, file)| Ok((WeightFile::of(file, name)?, file))).collect()
}

/// Rejects an output folder in which quantised weights would take the place of those that they are made from.
fn reject_overwriting<'a>(
    layout: &Layout,
    quantised: &QuantisedStore,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<(), ExportError> {
    let targets: Vec<PathBuf> =
        quantised.files.iter().map(|file| resolved(&layout.out.join(&file.name))).collect();
    for tensor in tensors {
        let own = resolved(&tensor.file);
        if let Some(path) = targets.iter().find(|target| **target == own) {
            return Err(ExportError::Conflict { path: path.clone() });
        }
    }
    Ok(())
}

/// Writes the files of quantised weights into the output folder.
fn quantise(
    staging: &mut Staging,
    quantised: &QuantisedStore,
    observer: &mut dyn ExportObserver,
) -> Result<Vec<WeightFile>, ExportError> {
    observer.on_quantise(quantised.files.iter().map(Plan::source_bytes).sum());
    let mut weights = Vec::new();
    for file in &quantised.files {
        let path = staging
            .write_large(&file.name, file.bytes(), |path, to| file.write(path, to, observer))?;
        weights.push(WeightFile::of(&path, file.name.clone())?);
    }
    Ok(weights)
}

/// Writes pickled weights into the output folder in the other format, and gives the name that the file has until the commit.
fn convert(staging: &mut Staging, name: &str, bin: &Path) -> Result<PathBuf, ExportError> {
    let bytes = fs::metadata(bin).map_err(ExportError::io("read", bin))?.len();
    staging.write_large(name, bytes, |path, file| pickle::convert(bin, file, path))
}

/// Where the configuration says nothing, or the tensors overrule it.
fn notes_of(blueprint: &Blueprint, base: &BaseWeights) -> Vec<String> {
    let head = &base.head.output.weight;
    let own_head = blueprint.tied && *head != base.embed.table;
    let of_head = || {
        format!(
            "config.json says that the output layer is the embedding table, but the weights hold another one, {}: that one is used",
            head.name
        )
    };
    blueprint.notes.iter().cloned().chain(own_head.then(of_head)).collect()
}

/// The form of passes: the one asked for, or the one that the sampler's weights were trained in.
fn form(options: &ExportOptions, sampler: &Checkpoint) -> Result<SamplerForm, ExportError> {
    if let Some(form) = options.passes {
        return Ok(form);
    }
    let Some((path, name)) = sampler.metadata(SamplerForm::KEY) else {
        return Ok(SamplerForm::default());
    };
    name.parse().map_err(|reason| ExportError::Header {
        path: path.into(),
        reason: format!("{} in its metadata: {reason}", SamplerForm::KEY),
    })
}

fn manifest(
    options: &ExportOptions,
    blueprint: &Blueprint,
    (tokens, notes): (SpecialTokens, Vec<String>),
    (head_top, form): (Option<HeadTop>, Option<SamplerForm>),
    base: &BaseWeights,
    weights: Vec<WeightFile>,
) -> Manifest {
    let has = |name: &str| options.checkpoint.join(name).exists();
    let tokenizer = if has("tokenizer.json") {
        Some("tokenizer.json".into())
    } else if has("vocab.json") && has("merges.txt") {
        Some("vocab.json".into())
    } else if has("vocab.txt") {
        Some("vocab.txt".into())
    } else {
        None
    };
    let folder_name =
        |folder: &Path| Some(resolved(folder).file_name()?.to_string_lossy().into_owned());
    Manifest {
        format: Manifest::FORMAT,
        family: blueprint.family,
        vocab_size: blueprint.vocab_size,
        hidden_size: blueprint.hidden_size,
        layers: blueprint.layers,
        heads: blueprint.heads,
        kv_heads: blueprint.kv_heads,
        head_dim: blueprint.head_dim,
        ffn_size: blueprint.ffn_size,
        max_positions: blueprint.max_positions,
        tokens,
        dtype: base.embed.table.dtype,
        quantised: options.quantisation,
        shift: blueprint.shift,
        operators: options.operators,
        graphs: Graphs {
            backbone: "backbone.onnx".into(),
            head: "head.onnx".into(),
            head_top,
            sampler: (form == Some(SamplerForm::Sequence)).then(|| SAMPLER.into()),
            sampler_rows: (form == Some(SamplerForm::Rows)).then(|| SamplerRows {
                context: SAMPLER_CONTEXT.into(),
                pass: SAMPLER_ROWS.into(),
            }),
        },
        tokenizer,
        provenance: Provenance {
            checkpoint: folder_name(&options.checkpoint),
            sampler: options.sampler.as_deref().and_then(folder_name),
            weights,
            brought: BTreeMap::new(),
            ignored_keys: options.ignored_keys.clone(),
            given_tokens: options.given_tokens.clone(),
            notes,
            conjoint: env!("CARGO_PKG_VERSION").into(),
        },
    }
}
