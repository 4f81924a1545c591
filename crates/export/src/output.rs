//! Writing the files of an export.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message;

use conjoint_format::names::{COMPANIONS, CONVERTED, INDEX};
use conjoint_format::proto::ModelProto;
use conjoint_format::{FormatError, MANIFEST, Manifest, WeightFile};

use crate::build;
use crate::error::ExportError;
use crate::exported_files::{ExportedFiles, checksum};
use crate::graph_names::OPTIONAL;
use crate::layout::resolved;
use crate::observer::ExportObserver;
use crate::options::ExportOptions;
use crate::quantise::{Plan, QuantisedStore};
use crate::source::Source;
use crate::staging::{Staging, Transfer};

/// An export whose files are being written.
pub(crate) struct Output<'a> {
    pub(crate) options: &'a ExportOptions,
    pub(crate) source: &'a Source,
    pub(crate) quantised: Option<&'a QuantisedStore>,
    pub(crate) staging: Staging,
    /// Files of an earlier export into the folder.
    pub(crate) earlier: ExportedFiles,
}

impl Output<'_> {
    /// Writes all files. `weight_files` are the checkpoint's files that the graphs point into.
    pub(crate) fn write(
        mut self,
        graphs: Vec<(&str, ModelProto)>,
        weight_files: Vec<(WeightFile, &Path)>,
        observer: &mut dyn ExportObserver,
    ) -> Result<Manifest, ExportError> {
        let mut transferred = BTreeMap::new();
        let mut weights = Vec::new();
        for (file, path) in weight_files {
            if self.source.layout.transfer(&mut self.staging, path, &self.earlier)? {
                transferred.insert(file.name.clone(), file.sha256.clone());
            }
            weights.push(file);
        }
        self.staging.copy(observer)?;
        if let Some(quantised) = self.quantised {
            weights = quantise(&mut self.staging, quantised, observer)?;
            self.source.layout.discard_converted(&mut self.staging);
        }
        let mut manifest = self.manifest(weights);
        let companions = self.companions();
        if !self.source.layout.in_place {
            for &name in &companions {
                let file = self.options.checkpoint.join(name);
                let existing = self.earlier.existing(name);
                if self.staging.transfer(&file, name, Transfer::Copy, existing)? {
                    transferred.insert(name.into(), checksum(&file)?);
                }
            }
        }
        // Keep a sampler layer that the new export does not replace: it may be the only copy.
        let is_kept = |name: &str| self.options.sampler.is_none() && name.starts_with("sampler");
        let is_weight =
            |name: &str| manifest.provenance.weights.iter().any(|file| file.name == name);
        let is_used = |name: &str| is_weight(name) || companions.contains(&name) || is_kept(name);
        let mut files = self.earlier.take_used(is_used);
        files.append(&mut transferred);
        manifest.provenance.exported_files = files;
        for (name, graph) in graphs {
            self.staging.write(name, &graph.encode_to_vec())?;
        }
        self.commit(&manifest)?;
        Ok(manifest)
    }

    /// The manifest, without the list of exported files.
    fn manifest(&self, weights: Vec<WeightFile>) -> Manifest {
        let Self { options, source, .. } = self;
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
        let (tokens, dtype) = (source.tokens.clone(), source.base.embed.table.dtype);
        let mut manifest = Manifest::new(&source.blueprint, tokens, dtype, build::names(source));
        manifest.quantised = options.quantisation;
        manifest.operators = options.operators;
        manifest.tokenizer = tokenizer;
        manifest.provenance.checkpoint = folder_name(&options.checkpoint);
        manifest.provenance.sampler = options.sampler.as_deref().and_then(folder_name);
        manifest.provenance.weights = weights;
        manifest.provenance.ignored_keys = options.ignored_keys.clone();
        manifest.provenance.given_tokens = options.given_tokens.clone();
        manifest.provenance.notes = source.all_notes();
        manifest.provenance.conjoint = env!("CARGO_PKG_VERSION").into();
        manifest
    }

    /// The checkpoint's files that are neither weights nor code.
    fn companions(&self) -> Vec<&'static str> {
        // A quantised export does not have the shards that the index lists.
        let is_needed = |name: &&str| self.quantised.is_none() || *name != INDEX;
        let exists = |name: &&str| self.options.checkpoint.join(name).exists();
        COMPANIONS.into_iter().filter(is_needed).filter(exists).collect()
    }

    /// Writes the manifest, gives all files their names, and removes those that nothing uses any more.
    fn commit(mut self, manifest: &Manifest) -> Result<(), ExportError> {
        let out = &self.source.layout.out;
        let text =
            serde_json::to_vec_pretty(manifest).map_err(FormatError::json(out.join(MANIFEST)))?;
        let replaced = Manifest::read_now(out).ok();
        if !(self.staging.is_empty() && self.staging.has_content(MANIFEST, &text)) {
            self.staging.write_always(MANIFEST, &text)?;
            // A folder without a manifest is known to be between two exports.
            let _ = fs::remove_file(out.join(MANIFEST));
        }
        let _lock = self.staging.commit()?;
        self.earlier.remove(out);
        let is_weight =
            |name: &str| manifest.provenance.weights.iter().any(|file| file.name == name);
        for name in OPTIONAL.into_iter().chain([CONVERTED]) {
            if manifest.graphs.names().all(|graph| graph != name) && !is_weight(name) {
                let _ = fs::remove_file(out.join(name));
            }
        }
        let replaced = replaced.filter(|earlier| earlier.quantised.is_some());
        for file in replaced.into_iter().flat_map(|earlier| earlier.provenance.weights) {
            if !is_weight(&file.name) {
                let _ = fs::remove_file(out.join(file.name));
            }
        }
        Ok(())
    }
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
