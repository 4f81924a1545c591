//! An exported model as a [`Denoiser`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::{Denoiser, State, TokenId, Vocabulary};
use conjoint_format::Manifest;
use ndarray::{Array1, Array2, Array3, ArrayView2};
use ort::value::Tensor;

use crate::batch::Batch;
use crate::error::Error;
use crate::graph::{Graph, Signature};
use crate::head::Head;
use crate::hidden::Hidden;
use crate::logit_rows;
use crate::options::OnnxOptions;
use crate::session::Opener;
use crate::shared::Shared;
use crate::stats::RuntimeStats;

const BACKBONE: Signature = Signature { inputs: &["input_ids", "key_mask"], outputs: &["hidden"] };

/// A frozen masked diffusion language model on ONNX Runtime.
///
/// Its graphs run one call at a time, so threads that share a model wait for each other. To run more at once,
/// put the sequences into one batch, such as a [`Run`](conjoint_core::Run), or open a model for each thread.
///
/// ```no_run
/// use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
/// runtime::ensure()?;
/// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
/// let sampler = model.sampler_layer()?;
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[doc(alias("ONNX Runtime", "inference", "model"))]
pub struct OnnxDenoiser {
    pub(crate) folder: PathBuf,
    backbone: Graph,
    shared: Arc<Shared>,
}

impl OnnxDenoiser {
    /// Opens an exported model.
    ///
    /// Loads ONNX Runtime if it is not loaded yet; see [`runtime`](crate::runtime).
    ///
    /// # Errors
    /// - [`Error::Manifest`] if the folder is not an exported model,
    /// - [`Error::Memory`] if the model needs more memory than is available, before anything is loaded,
    /// - [`Error::MissingGraph`], [`Error::Graph`] and [`Error::GraphSignature`] if a graph cannot be used,
    /// - [`Error::NoTopKHead`] if the options request a top-K head and the folder has none,
    /// - [`Error::ProviderNotCompiled`] and [`Error::ProviderAbsent`] if the provider is not available,
    /// - those of [`runtime::init`](crate::runtime::init).
    pub fn open(folder: impl AsRef<Path>, options: impl Into<OnnxOptions>) -> Result<Self, Error> {
        let (folder, options) = (folder.as_ref(), options.into());
        loop {
            let manifest = Manifest::read(folder)?;
            let model = Self::open_as(folder, manifest.clone(), options.clone());
            // If the export was replaced meanwhile, the graphs may be of two models.
            if Manifest::read(folder)? == manifest {
                return model;
            }
        }
    }

    fn open_as(folder: &Path, manifest: Manifest, options: OnnxOptions) -> Result<Self, Error> {
        manifest.check_weights(folder)?;
        manifest.check_config(folder)?;
        let vocabulary = vocabulary(&manifest)
            .map_err(|source| Error::Vocabulary { path: folder.to_owned(), source })?;
        let opener = Opener::new(options)?;
        opener.check_footprint(folder, &manifest, |footprint| footprint.model)?;
        let backbone = opener.open(folder.join(&manifest.graphs.backbone), &BACKBONE)?;
        let head = Head::open(&opener, folder, &manifest)?;
        let (forwards, passes, fetches) = Default::default();
        let shared = Shared { opener, manifest, vocabulary, head, forwards, passes, fetches };
        let shared = Arc::new(shared);
        Ok(Self { folder: folder.to_owned(), backbone, shared })
    }

    /// The manifest of the export.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Calls of the model and its sampler layers so far, and their time in ONNX Runtime.
    #[must_use]
    pub fn stats(&self) -> RuntimeStats {
        let Shared { forwards, passes, fetches, .. } = &*self.shared;
        RuntimeStats { forwards: forwards.read(), passes: passes.read(), fetches: fetches.read() }
    }

    /// Computes the hidden states [B, T, D] of token ids [B · T], without padding.
    ///
    /// These are the inputs of the output layer. The model's shift is applied: row i belongs to position i.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not B · T ids, [`Error::EmptyBatch`],
    /// [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Array3<f32>, Error> {
        let words = self.shared.vocabulary.size();
        self.shared.check_memory(batch, length)?;
        let inputs = Batch::rectangular(ids, batch, length, words)?.into_tensors();
        let (ids, valid) = self.backbone.named(inputs)?;
        let mut hidden = Array3::zeros((batch, length, self.shared.manifest.hidden_size));
        self.backbone.run_into(&[&ids, &valid], &mut hidden)?;
        Ok(hidden)
    }

    /// Computes a feature vector for each of N texts: the mean of its hidden states [N, D]. The vectors serve to
    /// compare sets of texts.
    ///
    /// The mean leaves out positions that hold the model's padding id, unless a sequence has no others. The
    /// model attends to these positions, as it does in generation.
    ///
    /// Lengths may differ. Sequences of similar length share a forward pass, without effect on each other's rows.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] if a sequence is empty, [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn mean_hidden<S: AsRef<[TokenId]>>(&self, sequences: &[S]) -> Result<Array2<f32>, Error> {
        /// Sequences of one forward pass.
        const BATCH: usize = 16;
        let sequences: Vec<&[TokenId]> = sequences.iter().map(AsRef::as_ref).collect();
        let mut by_length: Vec<usize> = (0..sequences.len()).collect();
        by_length.sort_by_key(|&i| sequences[i].len());
        let width = self.shared.manifest.hidden_size;
        let mut means = Array2::zeros((sequences.len(), width));
        for part in by_length.chunks(BATCH) {
            let batch: Vec<&[TokenId]> = part.iter().map(|&i| sequences[i]).collect();
            let inputs = Batch::padded(&batch, 0, &self.shared.vocabulary)?;
            let [size, length] = inputs.shape();
            self.shared.check_memory(size, length)?;
            let (ids, valid) = self.backbone.named(inputs.into_tensors())?;
            let mut hidden = Array3::zeros((size, length, width));
            self.backbone.run_into(&[&ids, &valid], &mut hidden)?;
            for ((&i, tokens), hidden) in part.iter().zip(batch).zip(hidden.outer_iter()) {
                means.row_mut(i).assign(&mean(tokens, hidden, self.shared.vocabulary.pad()));
            }
        }
        Ok(means)
    }

    /// Copies the hidden states [B, T, D] of a state from the device, including padding.
    ///
    /// The state is that of a forward pass of this model, or of a pass of its sampler layer over whole
    /// sequences. Passes over rows do not update it. Sampling does not need this method.
    ///
    /// # Errors
    /// [`ForeignState`](conjoint_core::Error::ForeignState) and [`Error::Graph`].
    pub fn hidden_of(&self, state: &mut State) -> Result<Array3<f32>, conjoint_core::Error> {
        let hidden: &mut Hidden = state.downcast_mut()?;
        Ok(hidden.to_host(&self.backbone, self.shared.manifest.hidden_size)?)
    }

    /// Computes the logits [N, V] of hidden states [N, D], such as rows of [`hidden`](Self::hidden).
    ///
    /// # Errors
    /// [`Error::Shape`] if the width is not the model's, and [`Error::Graph`].
    pub fn logits(&self, hidden: ArrayView2<'_, f32>) -> Result<Array2<f32>, Error> {
        let (rows, width) = hidden.dim();
        let expected = self.shared.manifest.hidden_size;
        if width != expected {
            let (got, expected) = (vec![rows, width], vec![rows, expected]);
            return Err(Error::Shape { what: "hidden", got, expected });
        }
        let flat: Vec<f32> = hidden.iter().copied().collect();
        let head = &self.shared.head;
        let hidden = head.named(Tensor::from_array(([1, rows, width], flat)))?;
        head.logits(&hidden.into_dyn(), (0..rows as i64).collect())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn run(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let batch = Batch::new(&request.canvases(), 0, &self.shared.vocabulary)?;
        let rows = batch.flat(request.rows)?;
        let (lengths, [size, length]) = (batch.lengths().to_vec(), batch.shape());
        self.shared.check_memory(size, length)?;
        let (ids, valid) = self.backbone.named(batch.into_tensors())?;
        let backbone = || self.backbone.run(&[&ids, &valid]).map(Arc::new);
        let head = |hidden: &_| logit_rows::compute(&self.shared, hidden, rows, request.form);
        let (value, rows) = self.shared.forwards.call(backbone, head)?;
        let tokens = request.canvases().iter().map(|canvas| canvas.tokens().to_vec()).collect();
        let state = Hidden { value, lengths, length, tokens, groups: Vec::new() };
        let hidden = match request.hidden {
            true => state.each_to_host(&self.backbone, self.shared.manifest.hidden_size)?,
            false => Vec::new(),
        };
        Ok(Answer { rows, state: State::new(state), hidden })
    }
}

impl Denoiser for OnnxDenoiser {
    fn vocabulary(&self) -> &Vocabulary {
        &self.shared.vocabulary
    }

    fn max_length(&self) -> Option<usize> {
        Some(self.shared.manifest.max_positions)
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, conjoint_core::Error> {
        Ok(self.run(request)?)
    }
}

/// The mean of the hidden states [T, D] of all tokens except padding, in double precision.
fn mean(tokens: &[TokenId], hidden: ArrayView2<'_, f32>, pad: Option<TokenId>) -> Array1<f32> {
    let only_padding = tokens.iter().all(|&token| Some(token) == pad);
    let is_counted = |token: TokenId| only_padding || Some(token) != pad;
    let (mut sum, mut n) = (Array1::<f64>::zeros(hidden.ncols()), 0.0);
    for (_, row) in tokens.iter().zip(hidden.outer_iter()).filter(|(token, _)| is_counted(**token))
    {
        sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
        n += 1.0;
    }
    sum.mapv(|sum| (sum / n) as f32)
}

/// The vocabulary of the manifest's special tokens.
fn vocabulary(manifest: &Manifest) -> Result<Vocabulary, conjoint_core::Error> {
    let ids = &manifest.tokens;
    let mut vocabulary = Vocabulary::new(manifest.vocab_size, ids.mask)?;
    for &id in &ids.eos {
        vocabulary = vocabulary.with_eos(id)?;
    }
    if let Some(id) = ids.pad {
        vocabulary = vocabulary.with_pad(id)?;
    }
    if let Some(id) = ids.bos {
        vocabulary = vocabulary.with_bos(id)?;
    }
    if let Some(assigned) = ids.assigned {
        vocabulary = vocabulary.with_assigned(assigned)?;
    }
    Ok(vocabulary)
}
