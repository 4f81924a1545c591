//! Opening an exported model, with ONNX Runtime found or fetched first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use clap::Args;
use conjoint::export::{Manifest, WeightFile};
use conjoint::prelude::*;
use conjoint::{Autoregressive, HeadChoice, OnnxError, OnnxOptions, runtime};

use crate::flag::{BadFlag, blame};
use crate::scorer::ScorerName;

/// Which model, and what it runs on.
#[derive(Args)]
pub struct ModelArguments {
    /// Folder of an exported model (see `conjoint export`)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// What runs the model: cpu, cuda or tensorrt
    #[arg(long, default_value = "cpu")]
    pub provider: ExecutionProvider,
    /// Output layer: dense, condensed (needs an export with one), or auto: condensed on a device
    #[arg(long, default_value = "auto")]
    pub head: HeadChoice,
    /// Threads of the CPU provider [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// A model that is ready to run.
pub struct Model {
    pub denoiser: Arc<OnnxDenoiser>,
    pub tokenizer: Option<Tokenizer>,
    /// Sampler layers opened so far, by the folder of another export.
    layers: Mutex<HashMap<Option<PathBuf>, Arc<OnnxSamplerLayer>>>,
    /// Scorers opened so far: one that counts its texts anew for each strategy would cost more than they do.
    scorers: Mutex<HashMap<ScorerName, Arc<dyn Autoregressive>>>,
}

impl ModelArguments {
    /// Opens the model.
    pub fn open(&self) -> Result<Arc<Model>> {
        check_exported("--model", &self.model)?;
        runtime::ensure()?;
        let threads = self.threads.map_or(0, usize::from);
        let options = OnnxOptions::new(self.provider).threads(threads).head(self.head);
        let denoiser = OnnxDenoiser::open(&self.model, options).map_err(|error| match error {
            OnnxError::ProviderNotCompiled { .. } | OnnxError::ProviderAbsent { .. } => {
                BadFlag::new("--provider", self.provider, error).into()
            }
            OnnxError::NoCondensedHead { .. } => BadFlag::new("--head", self.head, error).into(),
            error => anyhow::Error::from(error),
        })?;
        let tokenizer = match Tokenizer::open(&self.model) {
            Ok(tokenizer) => Some(tokenizer),
            Err(TextError::Absent { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (layers, scorers) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Model { denoiser: Arc::new(denoiser), tokenizer, layers, scorers }))
    }
}

impl Model {
    /// The sampler layer of `--sampler`, the folder of another export, or the model's own, opened once; none where the
    /// model was exported without.
    pub fn sampler_layer(&self, other: Option<&Path>) -> Result<Option<Arc<OnnxSamplerLayer>>> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = other.map(Path::to_owned);
        if let Some(layer) = layers.get(&key) {
            return Ok(Some(layer.clone()));
        }
        let layer = match other {
            None if self.denoiser.manifest().graphs.sampler.is_none() => return Ok(None),
            None => self.denoiser.sampler_layer()?,
            Some(folder) => {
                check_exported("--sampler", folder)?;
                let layer = OnnxSamplerLayer::open(folder, &self.denoiser);
                blame("--sampler", folder.display(), layer)?
            }
        };
        let layer = Arc::new(layer);
        layers.insert(key, layer.clone());
        Ok(Some(layer))
    }

    /// The scorer of `--scorer`, opened once.
    pub fn scorer(&self, name: &ScorerName) -> Result<Arc<dyn Autoregressive>> {
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scorer) = scorers.get(name) {
            return Ok(scorer.clone());
        }
        let scorer = name.open("--scorer", self)?;
        scorers.insert(name.clone(), scorer.clone());
        Ok(scorer)
    }

    /// What tells all of the model's files from others, its own sampler layer's included.
    pub fn weights(&self) -> String {
        shown(&self.denoiser.manifest().provenance.weights)
    }

    /// The positions of a text: those of `--length`, or the most that the model takes.
    pub fn positions(&self, length: Option<u32>) -> Result<usize, BadFlag> {
        match (length.map(|length| length as usize), self.denoiser.max_length()) {
            (Some(length), Some(longest)) if length > longest => {
                let reason = format!("the model takes at most {longest} positions");
                Err(BadFlag::new("--length", length, reason))
            }
            (length, longest) => length
                .or(longest)
                .ok_or_else(|| BadFlag::missing("--length", "the model sets no longest text")),
        }
    }

    /// The tokenizer, which `flag` needs.
    pub fn tokenizer(&self, flag: &'static str, value: &str) -> Result<&Tokenizer, BadFlag> {
        let ids = match flag {
            "--prompt" => ": give token ids with --prompt-ids",
            "--infill" => ": give token ids with --infill-ids",
            _ => "",
        };
        let reason = || format!("the model's folder holds no tokenizer{ids}");
        self.tokenizer.as_ref().ok_or_else(|| BadFlag::new(flag, value, reason()))
    }

    /// What tells the frozen model's weights from others: the files that its graphs point into, but for
    /// the sampler layer's.
    pub fn fingerprint(&self) -> String {
        let files = self.denoiser.manifest().provenance.weights.iter();
        shown(files.filter(|file| !is_layer(file)))
    }

    /// What tells the sampler layer of `--sampler`, or the model's own, from others: its files.
    pub fn layer_fingerprint(&self, other: Option<&Path>) -> Result<String> {
        let other = other.map(Manifest::read).transpose()?;
        let manifest = other.as_ref().unwrap_or(self.denoiser.manifest());
        Ok(shown(manifest.provenance.weights.iter().filter(|file| is_layer(file))))
    }

    /// Encodes a prompt.
    pub fn encode(&self, flag: &'static str, text: &str) -> Result<Vec<TokenId>, BadFlag> {
        blame(flag, text, self.tokenizer(flag, text)?.encode(text))
    }
}

/// What tells the files of another export from others; empty where there is none.
pub fn weights_of(other: Option<&Path>) -> Result<String> {
    let manifest = other.map(Manifest::read).transpose()?;
    Ok(manifest.map_or_else(String::new, |manifest| shown(&manifest.provenance.weights)))
}

/// Whether a file holds weights of a sampler layer.
fn is_layer(file: &WeightFile) -> bool {
    file.name.starts_with("sampler")
}

/// Weight files in one line, by which they can be told from others.
fn shown<'a>(files: impl IntoIterator<Item = &'a WeightFile>) -> String {
    let line = |file: &WeightFile| format!("{} {} {}", file.name, file.bytes, file.sha256);
    files.into_iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Says what to do about a folder that is no exported model.
fn check_exported(flag: &'static str, folder: &Path) -> Result<(), BadFlag> {
    let name = folder.display();
    if !folder.is_dir() {
        return Err(BadFlag::new(flag, name, "there is no such folder"));
    }
    if !folder.join("conjoint.json").is_file() {
        let reason = if folder.join("config.json").is_file() {
            format!("this checkpoint is not exported yet: run `conjoint export {name}` first")
        } else {
            "the folder holds no conjoint.json, so it is not an exported model".to_owned()
        };
        return Err(BadFlag::new(flag, name, reason));
    }
    Ok(())
}
