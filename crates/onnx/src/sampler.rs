//! An exported sampler layer.

use std::path::Path;
use std::sync::Arc;

use conjoint_core::denoiser::Request;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{SamplerLayer, State};
use conjoint_format::Manifest;
use ort::value::DynValue;

use crate::denoiser::OnnxDenoiser;
use crate::error::Error;
use crate::hidden::Hidden;
use crate::logit_rows;
use crate::requests::check_rows;
use crate::row_sampler::RowSampler;
use crate::sequence_sampler::SequenceSampler;
use crate::shared::Shared;

/// The learned sampler layer of a model. It runs on the model's device and uses its output layer.
#[doc(alias = "drafter")]
pub struct OnnxSamplerLayer {
    passes: Passes,
    shared: Arc<Shared>,
}

/// The form of passes.
enum Passes {
    /// All rows of the sequences that take part.
    Sequence(Box<SequenceSampler>),
    /// The requested rows, and those of the tokens just revealed.
    Rows(Box<RowSampler>),
}

impl OnnxDenoiser {
    /// Opens the sampler layer that was exported with the model.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if there is none, and those of [`open`](Self::open).
    pub fn sampler_layer(&self) -> Result<OnnxSamplerLayer, Error> {
        OnnxSamplerLayer::open(&self.folder, self)
    }
}

impl OnnxSamplerLayer {
    /// Opens the sampler layer of an exported folder, for `model`.
    ///
    /// The folder may differ from the model's, to use one model with several layers. Only the sampler layer's
    /// own graphs are read from it.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if the folder holds none, [`Error::SamplerMismatch`] if the layer belongs to a
    /// model of other sizes, and those of [`OnnxDenoiser::open`].
    pub fn open(folder: impl AsRef<Path>, model: &OnnxDenoiser) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let shared = model.shared();
        let manifest = Manifest::read(folder)?;
        manifest.check_weights(folder)?;
        for (what, got, expected) in [
            ("hidden size", manifest.hidden_size, shared.manifest.hidden_size),
            ("vocabulary size", manifest.vocab_size, shared.manifest.vocab_size),
        ] {
            if got != expected {
                let folder = folder.to_owned();
                return Err(Error::SamplerMismatch { folder, what, got, expected });
            }
        }
        let opener = &shared.opener;
        opener.check_footprint(folder, &manifest, |footprint| footprint.sampler)?;
        let passes = match (&manifest.graphs.sampler, &manifest.graphs.sampler_rows) {
            (Some(name), _) => {
                Passes::Sequence(Box::new(SequenceSampler::open(opener, folder, name)?))
            }
            (None, Some(graphs)) => {
                Passes::Rows(Box::new(RowSampler::open(opener, folder, graphs, &manifest)?))
            }
            (None, None) => return Err(Error::NoSampler { folder: folder.to_owned() }),
        };
        Ok(Self { passes, shared: Arc::clone(shared) })
    }

    fn run(&self, state: &mut Hidden, request: &Request<'_>) -> Result<Rows, Error> {
        let canvases = request.canvases();
        let lengths: Vec<usize> = canvases.iter().map(|canvas| canvas.len()).collect();
        let expected: Vec<usize> = state.tokens.iter().map(Vec::len).collect();
        if lengths != expected {
            return Err(Error::Shape { what: "the batch", got: lengths, expected });
        }
        if request.rows.is_empty() {
            let (no_rows, _) = self.head(&state.value, Vec::new(), request)?;
            return Ok(no_rows);
        }
        check_rows(&canvases, request.rows)?;
        let words = &self.shared.vocabulary;
        let plan = match &self.passes {
            Passes::Sequence(layer) => layer.plan(state, &canvases, request.rows),
            Passes::Rows(layer) => layer.plan(state, &canvases, request.rows),
        };
        let rows = plan.packing.len();
        let pass = || match &self.passes {
            Passes::Sequence(layer) => layer.run(state, &plan, words),
            Passes::Rows(layer) => layer.run(state, &canvases, &plan, words),
        };
        let head = |hidden: &Arc<DynValue>| self.head(hidden, plan.answers.clone(), request);
        self.shared.passes.call(rows, pass, head).map(|(_, rows)| rows)
    }

    /// Computes rows of the output layer.
    fn head(
        &self,
        hidden: &Arc<DynValue>,
        rows: Vec<i64>,
        request: &Request<'_>,
    ) -> Result<(Rows, u64), Error> {
        logit_rows::compute(&self.shared, hidden, rows, request.form)
    }
}

impl SamplerLayer for OnnxSamplerLayer {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, conjoint_core::Error> {
        Ok(self.run(state.downcast_mut()?, request)?)
    }
}
