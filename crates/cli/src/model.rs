//! Opening an exported model, with ONNX Runtime found or fetched first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use clap::Args;
use conjoint::export::Manifest;
use conjoint::export::WeightFile;
use conjoint::prelude::*;
use conjoint::{Autoregressive, HeadChoice, OnnxOptions, runtime};

use crate::flag::{BadFlag, blame};
use crate::scorer::ScorerName;

/// Which model, and what it runs on.
#[derive(Args)]
pub struct ModelArguments {
    /// Folder of an exported model (see `conjoint export`)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of another export whose sampler layer to use [default: the model's own]
    #[arg(long, value_name = "DIR")]
    pub sampler: Option<PathBuf>,
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
    sampler: Option<PathBuf>,
    /// The sampler layer, once a strategy has asked for it.
    layer: Mutex<Option<Arc<OnnxSamplerLayer>>>,
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
        let denoiser = OnnxDenoiser::open(&self.model, options)?;
        let tokenizer = match Tokenizer::open(&self.model) {
            Ok(tokenizer) => Some(tokenizer),
            Err(TextError::Absent { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let sampler = self.sampler.clone();
        let (layer, scorers) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Model { denoiser: Arc::new(denoiser), tokenizer, sampler, layer, scorers }))
    }
}

impl Model {
    /// The sampler layer: that of `--sampler`, or the model's own, opened once.
    pub fn sampler_layer(&self) -> Result<Arc<OnnxSamplerLayer>> {
        let mut opened = self.layer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = &*opened {
            return Ok(layer.clone());
        }
        let layer = Arc::new(match &self.sampler {
            None => self.denoiser.sampler_layer().context("this strategy needs a sampler layer")?,
            Some(folder) => {
                check_exported("--sampler", folder)?;
                OnnxSamplerLayer::open(folder, &self.denoiser)?
            }
        });
        Ok(opened.insert(layer).clone())
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

    /// The same of the export of `--sampler`; empty if that is not given.
    pub fn sampler_weights(&self) -> Result<String> {
        let manifest = self.sampler.as_deref().map(Manifest::read).transpose()?;
        Ok(manifest.map_or_else(String::new, |manifest| shown(&manifest.provenance.weights)))
    }

    /// The tokenizer, which `flag` needs.
    pub fn tokenizer(&self, flag: &'static str, value: &str) -> Result<&Tokenizer, BadFlag> {
        let absent = "the model's folder holds no tokenizer: give token ids with --prompt-ids";
        self.tokenizer.as_ref().ok_or_else(|| BadFlag::new(flag, value, absent))
    }

    /// What tells the frozen model's weights from others: the files that its graphs point into, but for
    /// the sampler layer's.
    pub fn fingerprint(&self) -> String {
        let files = self.denoiser.manifest().provenance.weights.iter();
        let frozen = files.filter(|file| !file.name.starts_with("sampler"));
        shown(frozen)
    }

    /// Encodes a prompt.
    pub fn encode(&self, flag: &'static str, text: &str) -> Result<Vec<TokenId>, BadFlag> {
        blame(flag, text, self.tokenizer(flag, text)?.encode(text))
    }
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
