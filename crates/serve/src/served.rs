//! The model that a server serves, under its names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use conjoint::prelude::*;
use conjoint_lab::registry::{Line, PRESETS};
use conjoint_lab::{Error, Model, Registry, Sampling};

use crate::engine::Base;
use crate::options::Limits;

/// The most bases that are kept. Requests can name as many caches and scales of guidance as they like.
const BASES: usize = 32;

/// A model with its names.
pub struct Served {
    /// The model.
    pub model: Arc<Model>,
    /// The strategies that requests can name.
    pub registry: Registry,
    /// The strategy of requests that name none.
    pub default: Line,
    /// The limits of requests.
    pub limits: Limits,
    name: String,
    presets: Vec<(String, Line)>,
    bases: Mutex<BTreeMap<String, Base>>,
}

impl Served {
    /// Serves `model` as `name`, and if it has a sampler layer as `name:PRESET`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the model has no tokenizer; those of its sampler layer and of the default strategy.
    pub fn new(
        model: Arc<Model>,
        name: String,
        default: Line,
        limits: Limits,
    ) -> Result<Self, Error> {
        model.tokenizer("model", &model.options().folder.display().to_string())?;
        // A request must not name files of this machine.
        let registry = Registry::builtin().without_files();
        let presets = match model.sampler_layer(None)? {
            None => Vec::new(),
            Some(_) => {
                let named = PRESETS.iter().map(|preset| {
                    Ok((format!("{name}:{}", preset.name), registry.line(preset.name)?))
                });
                named.collect::<Result<_, Error>>()?
            }
        };
        let cache = default.cache().cloned();
        let sampling = Sampling { cache, batch_size: limits.batch, ..Sampling::default() };
        let parts = (Some(default.unmasker()), default.schedule(), default.reviser());
        let (unmasker, schedule, reviser) = sampling.strategy(&registry, parts)?;
        // A default strategy that the model cannot run is an error now, not one of each request.
        let _ = sampling.generator(&model, &unmasker, &schedule, reviser.as_ref())?;
        let bases = Mutex::default();
        Ok(Self { model, registry, default, limits, name, presets, bases })
    }

    /// All names, the model's own first.
    pub fn names(&self) -> Vec<String> {
        let presets = self.presets.iter().map(|(name, _)| name.clone());
        [self.name.clone()].into_iter().chain(presets).collect()
    }

    /// The strategy of a name: `None` for an unknown name, `Some(None)` for the model's own.
    pub fn line(&self, name: &str) -> Option<Option<&Line>> {
        if name == self.name {
            return Some(None);
        }
        self.presets.iter().find(|(other, _)| other == name).map(|(_, line)| Some(line))
    }

    /// The base of these settings. Requests of equal guidance and cache have the same one, and so share forwards.
    ///
    /// # Errors
    /// Those of [`Sampling::bare`].
    pub fn base(&self, sampling: &Sampling) -> Result<Base, Error> {
        let cache = sampling.cache.as_ref().map_or_else(String::new, ToString::to_string);
        let key = format!("{cache} {}", sampling.cfg_scale);
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = bases.get(&key) {
            return Ok(base.clone());
        }
        let bare = sampling.bare(&self.model, None)?;
        let batch = usize::from(self.limits.batch);
        let base: Base = Arc::new(bare.batch_size(batch)?);
        if bases.len() >= BASES {
            bases.clear();
        }
        bases.insert(key, base.clone());
        Ok(base)
    }

    /// The text of a token, or its id if it has none.
    pub fn piece(&self, token: TokenId) -> String {
        self.tokenizer().piece(token).unwrap_or_else(|_| format!("<{token}>"))
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        // `new` has checked it.
        self.model.tokenizer.as_ref().expect("a served model has a tokenizer")
    }
}
