//! An exported model, opened once with all that a comparison needs of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use conjoint::export::{ExportError, Manifest, WeightFile};
use conjoint::prelude::*;
use conjoint::{Autoregressive, HeadChoice, OnnxError, OnnxOptions};

use crate::Error;
use crate::error::refused;
use crate::scorer::ScorerSpec;

/// Which model, and what it runs on.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The folder of an exported model.
    pub folder: PathBuf,
    /// What runs the model.
    pub provider: ExecutionProvider,
    /// The output layer.
    pub head: HeadChoice,
    /// Threads of the CPU provider; by default one a core.
    pub threads: Option<u16>,
    /// Whether to load and run a model even if that takes more memory than is available.
    pub ignore_memory: bool,
}

/// A model that is ready to run.
pub struct Model {
    /// The frozen model.
    pub denoiser: Arc<OnnxDenoiser>,
    /// Its tokenizer, if the folder holds one that can be read.
    pub tokenizer: Option<Tokenizer>,
    /// Why there is no tokenizer.
    no_tokenizer: Option<TextError>,
    options: ModelOptions,
    /// Sampler layers opened so far, by the folder of another export.
    layers: Mutex<HashMap<Option<PathBuf>, Arc<OnnxSamplerLayer>>>,
    /// Scorers opened so far: one that counts its texts anew for each strategy would cost more than they do.
    scorers: Mutex<HashMap<ScorerSpec, Arc<dyn Autoregressive>>>,
}

impl ModelOptions {
    /// The model of this folder, on the CPU.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let (provider, head) = (ExecutionProvider::default(), HeadChoice::default());
        Self { folder: folder.into(), provider, head, threads: None, ignore_memory: false }
    }

    /// Rejects a folder that is no exported model.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `model` says what to do about it.
    pub fn check(&self) -> Result<(), Error> {
        check_exported("model", &self.folder)
    }

    /// About how many bytes of memory the model and its sampler layer take, where they are the host's.
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

    /// Opens the model. ONNX Runtime must be found by then, as by [`conjoint::runtime::ensure`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for `model`, `provider` or `head`; [`Error::Onnx`] with [`OnnxError::Memory`] if the model takes more
    /// memory than is available; and what the model's files say.
    pub fn open(self) -> Result<Arc<Model>, Error> {
        self.check()?;
        let threads = self.threads.map_or(0, usize::from);
        let options = OnnxOptions::new(self.provider).threads(threads).head(self.head);
        let options = options.ignore_memory(self.ignore_memory);
        let denoiser = OnnxDenoiser::open(&self.folder, options).map_err(|error| match error {
            OnnxError::ProviderNotCompiled { .. } | OnnxError::ProviderAbsent { .. } => {
                Error::parameter("provider", self.provider, error)
            }
            OnnxError::NoTopKHead { .. } => Error::parameter("head", self.head, error),
            error => Error::from(error),
        })?;
        // Token ids need none.
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
    /// Opens the model of this folder on the CPU. ONNX Runtime must be found by then, as by
    /// [`conjoint::runtime::ensure`].
    ///
    /// # Errors
    /// Those of [`ModelOptions::open`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Arc<Self>, Error> {
        ModelOptions::new(folder).open()
    }

    /// How it was opened.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// The sampler layer of another export's folder, or the model's own, opened once; none where the model was exported
    /// without.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `sampler`, if the other export has no layer that fits.
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
                refused("sampler", folder.display(), layer)?
            }
        };
        let layer = Arc::new(layer);
        layers.insert(key, layer.clone());
        Ok(Some(layer))
    }

    /// The scorer of this name, opened once.
    ///
    /// # Errors
    /// Those of [`ScorerSpec::open`], for `scorer`.
    pub fn scorer(&self, name: &ScorerSpec) -> Result<Arc<dyn Autoregressive>, Error> {
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scorer) = scorers.get(name) {
            return Ok(scorer.clone());
        }
        let scorer = name.open("scorer", self)?;
        scorers.insert(name.clone(), scorer.clone());
        Ok(scorer)
    }

    /// What tells all of the model's files from others, its own sampler layer's included.
    pub fn weights(&self) -> String {
        file_list(&self.denoiser.manifest().provenance.weights)
    }

    /// The positions of a text: this length, or the most that the model takes.
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
                .ok_or_else(|| Error::missing("length", "the model sets no longest text")),
        }
    }

    /// The tokenizer, which a parameter of this name and value requires.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the folder holds none that can be read, with the reason.
    pub fn tokenizer(&self, name: &'static str, value: &str) -> Result<&Tokenizer, Error> {
        let absent = || {
            let reason = self.no_tokenizer.as_ref().map_or_else(String::new, ToString::to_string);
            Error::parameter(name, value, format!("the tokenizer cannot be used: {reason}"))
        };
        self.tokenizer.as_ref().ok_or_else(absent)
    }

    /// What tells the frozen model's weights from others: the files that its graphs point into, but for
    /// the sampler layer's.
    pub fn fingerprint(&self) -> String {
        let files = self.denoiser.manifest().provenance.weights.iter();
        file_list(files.filter(|file| !is_layer(file)))
    }

    /// What tells the sampler layer of another export's folder, or the model's own, from others: its files.
    ///
    /// # Errors
    /// [`Error::Export`] if the other export cannot be read.
    pub fn layer_fingerprint(&self, other: Option<&Path>) -> Result<String, Error> {
        let other = other.map(Manifest::read).transpose()?;
        let manifest = other.as_ref().unwrap_or(self.denoiser.manifest());
        Ok(file_list(manifest.provenance.weights.iter().filter(|file| is_layer(file))))
    }

    /// Encodes a prompt, which the parameter `name` gave: with what the tokenizer puts before every text.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn prompt(&self, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
        Ok(self.tokenizer(name, text)?.prompt(self.encode(name, text)?))
    }

    /// Encodes a text as it stands, which the parameter `name` gave.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the model has no tokenizer, or the tokenizer no token for the text.
    pub fn encode(&self, name: &'static str, text: &str) -> Result<Vec<TokenId>, Error> {
        refused(name, text, self.tokenizer(name, text)?.encode(text))
    }
}

/// What tells the files of another export from others; empty where there is none.
pub(crate) fn weights_of(other: Option<&Path>) -> Result<String, Error> {
    let manifest = other.map(Manifest::read).transpose()?;
    Ok(manifest.map_or_else(String::new, |manifest| file_list(&manifest.provenance.weights)))
}

/// Whether a file holds weights of a sampler layer.
fn is_layer(file: &WeightFile) -> bool {
    file.name.starts_with("sampler")
}

/// Weight files in one line, by which they can be told from others.
fn file_list<'a>(files: impl IntoIterator<Item = &'a WeightFile>) -> String {
    let line = |file: &WeightFile| format!("{} {} {}", file.name, file.bytes, file.sha256);
    files.into_iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Says what to do about a folder that is no exported model.
fn check_exported(name: &'static str, folder: &Path) -> Result<(), Error> {
    let shown = folder.display();
    let reason = match Manifest::read(folder) {
        Err(ExportError::NotACheckpoint { reason, .. }) => reason,
        Err(ExportError::Busy { .. }) => {
            "an export into it is under way: wait until that has ended".to_owned()
        }
        Err(ExportError::MissingFile { .. }) if folder.join("config.json").is_file() => {
            format!("this checkpoint is not exported yet: run `conjoint export {shown}` first")
        }
        Err(ExportError::MissingFile { .. }) => {
            "the folder holds no conjoint.json, so it is not an exported model".to_owned()
        }
        // Whatever else may be wrong is said on opening it.
        _ => return Ok(()),
    };
    Err(Error::parameter(name, shown, reason))
}
