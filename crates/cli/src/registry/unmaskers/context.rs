use std::sync::Arc;

use anyhow::Result;
use conjoint::Autoregressive;
use conjoint::guidance::ClassifierFree;
use conjoint::prelude::*;

use crate::model::Model;

/// What strategies are made of beside their parameters.
pub struct Context {
    pub model: Arc<Model>,
    /// The model under guidance, which its sampler layer is to be under too.
    pub guided: ClassifierFree<Arc<OnnxDenoiser>>,
    pub order: Arc<dyn Order>,
    /// Folder of the export whose sampler layer to use, if not the model's own.
    pub sampler: Option<std::path::PathBuf>,
    pub scorer: Option<Arc<dyn Autoregressive>>,
    /// Whether the most probable token is taken instead of drawing one.
    pub greedy: bool,
}

/// A strategy cannot be made for want of what this says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lacking(&'static str);

impl Context {
    pub(super) fn layer(&self) -> Result<impl SamplerLayer + 'static> {
        let layer = self.model.sampler_layer(self.sampler.as_deref())?.ok_or(Lacking(
            "it needs a sampler layer, which this model's export does not have: give the folder of an export \
             that has one with --sampler, or train one (`conjoint train sampler`) and export the model with it \
             (`conjoint export --sampler`)",
        ))?;
        Ok(self.guided.sampler_layer(layer))
    }

    pub(super) fn scorer(&self) -> Result<Arc<dyn Autoregressive>> {
        let lacking = "it needs an autoregressive scorer: give --scorer, such as ngram:3:FILE";
        Ok(self.scorer.clone().ok_or(Lacking(lacking))?)
    }
}
