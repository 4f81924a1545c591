//! An exported model, opened once with its tokenizer, sampler layers and scorers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use conjoint::format::{FormatError, Manifest, WeightFile};
use conjoint::prelude::*;
use conjoint::{Autoregressive, HeadChoice, OnnxError, OnnxOptions};

use crate::Error;
use crate::error::for_parameter;
use crate::scorer::spec::ScorerSpec;

/// The folder of a model, and how to run it.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The folder of an exported model.
    pub folder: PathBuf,
    /// The execution provider.
    pub provider: ExecutionProvider,
    /// The output layer.
    pub head: HeadChoice,
    /// Threads of the CPU provider, by default one per core.
    pub threads: Option<u16>,
    /// Whether to load and run a model that needs more memory than is available.
    pub ignore_memory: bool,
}

/// An open model.
pub struct Model {
    /// The frozen model.
    pub denoiser: Arc<OnnxDenoiser>,
    /// Its tokenizer, if the folder has a readable one.
    pub tokenizer: Option<Tokenizer>,
    /// Why the tokenizer is missing.
    no_tokenizer: Option<TextError>,
    options: ModelOptions,
    /// Sampler layers opened so far, by the folder of another export.
    layers: Mutex<HashMap<Option<PathBuf>, Arc<OnnxSamplerLayer>>>,
    /// Scorers opened so far. Counting an n-gram scorer's texts again for each strategy would be slow.
    pub(crate) scorers: Mutex<HashMap<ScorerSpec, Arc<dyn Autoregressive>>>,
}

impl ModelOptions {
    /// The model of this folder, on the CPU.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let (provider, head) = (ExecutionProvider::default(), HeadChoice::default());
        Self { folder: folder.into(), provider, head, threads: None, ignore_memory: false }
    }

    /// The options of ONNX Runtime.
    fn runtime(&self) -> OnnxOptions {
        let threads = self.threads.map_or(0, usize::from);
        let options = OnnxOptions::new(self.provider).threads(threads).head(self.head);
        options.ignore_memory(self.ignore_memory)
    }

    /// Rejects a folder that is not an exported model.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `model`, with what to do.
    pub fn check(&self) -> Result<(), Error> {
        check_exported("model", &self.folder)
    }

    /// An estimate of the memory that the model and its sampler layer need, in bytes. `None` for a GPU provider.
    ///
    /// # Errors
    /// [`Error::Export`] if the export cannot be read.
    pub fn memory(&self) -> Result<Option<u64>, Error> {
        if self.provider != ExecutionProvider::Cpu {
            return Ok(None);
        }
        let footprint = Manifest::read(&self.folder)?.footprint(&self.folder)?;
        Ok(Some(footprint.total()))
    }

    /// Opens the model. Call [`conjoint::runtime::ensure`] first, which finds ONNX Runtime.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `model`, `provider` or `head`. [`Error::Onnx`] with [`OnnxError::Memory`] if the model needs
    /// more memory than is available. The errors of the model's files.
    pub fn open(self) -> Result<Arc<Model>, Error> {
        self.check()?;
        let options = self.runtime();
        // As it is written on a command line.
        let name = |provider: ExecutionProvider| provider.to_string().to_lowercase();
        let denoiser = OnnxDenoiser::open(&self.folder, options).map_err(|error| match error {
            OnnxError::ProviderNotCompiled { feature, .. } => {
                let reason = format!(
                    "it is not compiled in: reinstall with `cargo install conjoint-cli --features {feature}`"
                );
                Error::parameter("provider", name(self.provider), reason)
            }
            OnnxError::ProviderAbsent { .. } => {
                Error::parameter("provider", name(self.provider), error)
            }
            OnnxError::NoTopKHead { .. } => Error::parameter("head", self.head, error),
            error => Error::from(error),
        })?;
        // Token ids work without a tokenizer.
        let (tokenizer, no_tokenizer) = match Tokenizer::open(&self.folder) {
            Ok(tokenizer) => (Some(tokenizer), None),
            Err(error) => (None, Some(error)),
        };
        let (layers, scorers) = (Mutex::default(), Mutex::default());
        let denoiser = Arc::new(denoiser);
        Ok(Arc::new(Model { denoiser, tokenizer, no_tokenizer, options: self, layers, scorers }))
    }
}

impl Model {
    /// Opens the model of this folder on the CPU. Call [`conjoint::runtime::ensure`] first, which finds ONNX Runtime.
    ///
    /// # Errors
    /// Those of [`ModelOptions::open`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Arc<Self>, Error> {
        ModelOptions::new(folder).open()
    }

    /// The options of ONNX Runtime that it was opened with.
    pub(crate) fn runtime(&self) -> OnnxOptions {
        self.options.runtime()
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// The sampler layer of another export's folder, or the model's own, opened once. None if the model was exported without
    /// one.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `sampler` if the other export has no layer for this model.
    pub fn sampler_layer(
        &self,
        other: Option<&Path>,
    ) -> Result<Option<Arc<OnnxSamplerLayer>>, Error> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = other.map(Path::to_owned);
        if let Some(layer) = layers.get(&key) {
            return Ok(Some(layer.clone()));
        }
        let layer = match other {
            None if self.denoiser.manifest().graphs.sampler_form().is_none() => return Ok(None),
            None => self.denoiser.sampler_layer()?,
            Some(folder) => {
                check_exported("sampler", folder)?;
                let layer = OnnxSamplerLayer::open(folder, &self.denoiser);
                for_parameter("sampler", folder.display(), layer)?
            }
        };
        let layer = Arc::new(layer);
        layers.insert(key, layer.clone());
        Ok(Some(layer))
    }

    /// Names, sizes and checksums of all weight files, its own sampler layer's included. They identify the model.
    pub fn weights(&self) -> String {
        file_list(&self.denoiser.manifest().provenance.weights)
    }

    /// The positions of a text: this length, or the model's largest.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::Missing`] for `length`.
    pub fn positions(&self, length: Option<u32>) -> Result<usize, Error> {
        match (length.map(|length| length as usize), self.denoiser.max_length()) {
            (Some(length), Some(longest)) if length > longest => {
                let reason = format!("the model takes at most {longest} positions");
                Err(Error::parameter("length", length, reason))
            }
            (length, longest) => length
                .or(longest)
                .ok_or_else(|| Error::missing("length", "the model has no largest length")),
        }
    }

    /// The tokenizer, which the parameter of this name and value needs.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the folder has no readable one, with the reason.
    pub fn tokenizer(&self, name: &'static str, value: &str) -> Result<&Tokenizer, Error> {
        let absent = || {
            let reason = self.no_tokenizer.as_ref().map_or_else(String::new, ToString::to_string);
            Error::parameter(name, value, format!("the tokenizer cannot be used: {reason}"))
        };
        self.tokenizer.as_ref().ok_or_else(absent)
    }

    /// Names, sizes and checksums of the frozen model's weight files, without the sampler layer's. They identify the frozen
    /// model.
    pub fn fingerprint(&self) -> String {
        let files = self.denoiser.manifest().provenance.weights.iter();
        file_list(files.filter(|file| !is_layer(file)))
    }

    /// Names, sizes and checksums of the weight files of a sampler layer: that of another export's folder, or the model's own.
    ///
    /// # Errors
    /// [`Error::Export`] if the other export cannot be read.
    pub fn layer_fingerprint(&self, other: Option<&Path>) -> Result<String, Error> {
        let other = other.map(Manifest::read).transpose()?;
        let manifest = other.as_ref().unwrap_or(self.denoiser.manifest());
        Ok(file_list(manifest.provenance.weights.iter().filter(|file| is_layer(file))))
    }

    /// Encodes a prompt, with the tokens that the tokenizer puts before every text. `name` is the parameter that gave it.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn prompt(&self, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
        Ok(self.tokenizer(name, text)?.prompt(self.encode(name, text)?))
    }

    /// Encodes a text without adding tokens. `name` is the parameter that gave it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the model has no tokenizer, or the tokenizer has no token for a part of the text.
    pub fn encode(&self, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
        for_parameter(name, text, self.tokenizer(name, text)?.encode(text))
    }
}

/// Names, sizes and checksums of the weight files of another export; empty if there is none.
pub(crate) fn weights_of(other: Option<&Path>) -> Result<String, Error> {
    let manifest = other.map(Manifest::read).transpose()?;
    Ok(manifest.map_or_else(String::new, |manifest| file_list(&manifest.provenance.weights)))
}

/// Whether a file has weights of a sampler layer.
fn is_layer(file: &WeightFile) -> bool {
    file.name.starts_with("sampler")
}

/// Names, sizes and checksums of weight files, in one line.
fn file_list<'a>(files: impl IntoIterator<Item = &'a WeightFile>) -> String {
    let line = |file: &WeightFile| format!("{} {} {}", file.name, file.bytes, file.sha256);
    files.into_iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Rejects a folder that is not an exported model, with what to do.
fn check_exported(name: &'static str, folder: &Path) -> Result<(), Error> {
    let path = folder.display();
    let reason = match Manifest::read(folder) {
        Err(FormatError::NotACheckpoint { reason, .. }) => reason,
        Err(FormatError::Busy { .. }) => {
            "another process is exporting into this folder: wait until it has finished".to_owned()
        }
        Err(FormatError::MissingFile { .. }) if folder.join("config.json").is_file() => {
            format!("this checkpoint is not exported yet: run `conjoint export {path}` first")
        }
        Err(FormatError::MissingFile { .. }) => {
            "the folder has no conjoint.json, so it is not an exported model: give a folder written by `conjoint export`"
                .to_owned()
        }
        // Other errors are reported when the model is opened.
        _ => return Ok(()),
    };
    Err(Error::parameter(name, path, reason))
}
