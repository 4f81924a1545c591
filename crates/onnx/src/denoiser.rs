//! An exported model as a [`Denoiser`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::{Denoiser, State, TokenId, Vocabulary};
use conjoint_export::Manifest;
use ndarray::{Array1, Array2, Array3, ArrayView2};
use ort::value::Tensor;

use crate::answer;
use crate::batch::Batch;
use crate::head::Head;
use crate::hidden::Hidden;
use crate::session::{Graph, Opener, Signature};
use crate::stats::{Clock, RuntimeStats};
use crate::{Error, OnnxOptions, OnnxSamplerLayer};

const BACKBONE: Signature = Signature { inputs: &["input_ids", "key_mask"], outputs: &["hidden"] };

/// A frozen masked diffusion language model on ONNX Runtime.
///
/// Threads that share one take turns: its graphs run one call at a time. For more at once put the sequences into one
/// batch, such as a [`Run`](conjoint_core::Run), or open a model for each thread.
///
/// ```no_run
/// use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
/// runtime::ensure()?;
/// let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
/// let sampler = model.sampler_layer()?;
/// # Ok::<(), conjoint_onnx::Error>(())
/// ```
#[doc(alias = "ONNX Runtime")]
pub struct OnnxDenoiser {
    folder: PathBuf,
    backbone: Graph,
    shared: Arc<Shared>,
}

/// What a model and its sampler layers have in common.
pub(crate) struct Shared {
    pub opener: Opener,
    pub manifest: Manifest,
    pub vocabulary: Vocabulary,
    pub head: Head,
    /// Time of full forwards.
    pub forwards: Clock,
    /// Time of sampler passes.
    pub passes: Clock,
    /// Time of fetching whole rows.
    pub fetches: Clock,
}

impl Shared {
    /// Rejects a forward that takes more memory than is available, before it is tried.
    fn demand(&self, batch: usize, length: usize) -> Result<(), Error> {
        let needed = self.manifest.scratch(batch, length);
        let error = |available| Error::ForwardMemory { batch, length, needed, available };
        self.opener.demand(needed, error)
    }
}

impl OnnxDenoiser {
    /// Opens a folder that `conjoint export` wrote.
    ///
    /// Loads ONNX Runtime if that has not happened yet; see [`runtime`](crate::runtime).
    ///
    /// # Errors
    /// [`Error::Memory`] if more memory is needed than is available, before anything is loaded;
    /// [`Error::Manifest`] if it is no such folder, [`Error::MissingGraph`], [`Error::Graph`] and
    /// [`Error::GraphSignature`] if a graph is not usable, [`Error::NoTopKHead`] if one was asked for and the
    /// folder has none, [`Error::ProviderNotCompiled`] and
    /// [`Error::ProviderAbsent`] if the provider is not there, and those of
    /// [`runtime::init`](crate::runtime::init).
    pub fn open(folder: impl AsRef<Path>, options: impl Into<OnnxOptions>) -> Result<Self, Error> {
        let (folder, options) = (folder.as_ref(), options.into());
        loop {
            let manifest = Manifest::read(folder)?;
            let model = Self::open_as(folder, manifest.clone(), options.clone());
            // An export that was replaced meanwhile may have given graphs of two models.
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
        opener.demand_footprint(folder, &manifest, |footprint| footprint.model)?;
        let backbone = opener.open(folder.join(&manifest.graphs.backbone), &BACKBONE)?;
        let head = Head::open(&opener, folder, &manifest)?;
        let (forwards, passes, fetches) = Default::default();
        let shared = Shared { opener, manifest, vocabulary, head, forwards, passes, fetches };
        let shared = Arc::new(shared);
        Ok(Self { folder: folder.to_owned(), backbone, shared })
    }

    /// What the export says of the model.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// Calls of the model and its sampler layers so far, and their time in ONNX Runtime.
    pub fn stats(&self) -> RuntimeStats {
        let Shared { forwards, passes, fetches, .. } = &*self.shared;
        RuntimeStats { forwards: forwards.read(), passes: passes.read(), fetches: fetches.read() }
    }

    /// The sampler layer that was exported with the model.
    ///
    /// # Errors
    /// [`Error::NoSampler`] if there is none, and those of [`open`](Self::open).
    pub fn sampler_layer(&self) -> Result<OnnxSamplerLayer, Error> {
        OnnxSamplerLayer::open(&self.folder, self)
    }

    /// Hidden states [B, T, D] of token ids [B · T], without padding: what the output head
    /// is given, with the model's shift applied, so that row i belongs to position i.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not B · T ids, [`Error::EmptyBatch`],
    /// [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn hidden(&self, ids: &[i64], batch: usize, length: usize) -> Result<Array3<f32>, Error> {
        let words = self.shared.vocabulary.size();
        self.shared.demand(batch, length)?;
        let inputs = Batch::rectangular(ids, batch, length, words)?.into_tensors();
        let (ids, valid) = self.backbone.named(inputs)?;
        let mut hidden = Array3::zeros((batch, length, self.shared.manifest.hidden_size));
        self.backbone.run_into(&[&ids, &valid], &mut hidden)?;
        Ok(hidden)
    }

    /// The mean of each sequence's hidden states [N, D]: one feature vector a text, by which sets
    /// of texts can be compared.
    ///
    /// Positions that hold the model's padding id are left out of the mean, unless a sequence has
    /// no others; the model sees them all the same, as it does while it generates. Lengths may
    /// differ: sequences of nearly the same length share a forward, and none changes another's row.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] if a sequence is empty, [`Error::UnknownToken`] and [`Error::Graph`].
    pub fn mean_hidden<S: AsRef<[TokenId]>>(&self, sequences: &[S]) -> Result<Array2<f32>, Error> {
        /// Sequences of one forward.
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
            self.shared.demand(size, length)?;
            let (ids, valid) = self.backbone.named(inputs.into_tensors())?;
            let mut hidden = Array3::zeros((size, length, width));
            self.backbone.run_into(&[&ids, &valid], &mut hidden)?;
            for ((&i, tokens), hidden) in part.iter().zip(batch).zip(hidden.outer_iter()) {
                means.row_mut(i).assign(&mean(tokens, hidden, self.shared.vocabulary.pad()));
            }
        }
        Ok(means)
    }

    /// The hidden states [B, T, D] of a state that this model left, or its sampler layer over whole sequences, with their
    /// padding. Passes over rows keep theirs apart. Copied from the device: for looking at them, sampling does not need it.
    ///
    /// # Errors
    /// [`ForeignState`](conjoint_core::Error::ForeignState) and [`Error::Graph`].
    pub fn hidden_of(&self, state: &mut State) -> Result<Array3<f32>, conjoint_core::Error> {
        let hidden: &mut Hidden = state.downcast_mut()?;
        Ok(hidden.to_host(&self.backbone, self.shared.manifest.hidden_size)?)
    }

    /// Logits [N, V] of hidden states [N, D], such as rows of [`hidden`](Self::hidden).
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
        self.shared.demand(size, length)?;
        let (ids, valid) = self.backbone.named(batch.into_tensors())?;
        let backbone = || self.backbone.run(&[&ids, &valid]).map(Arc::new);
        let head = |hidden: &_| answer::rows(&self.shared, hidden, rows, request.form);
        let (value, rows) = self.shared.forwards.call(backbone, head)?;
        let tokens = request.canvases().iter().map(|canvas| canvas.tokens().to_vec()).collect();
        let state = Hidden { value, lengths, length, tokens, groups: Vec::new() };
        let hidden = match request.hidden {
            true => state.of_each(&self.backbone, self.shared.manifest.hidden_size)?,
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

/// The mean of the hidden states [T, D] of all tokens but the padding, in double precision.
fn mean(tokens: &[TokenId], hidden: ArrayView2<'_, f32>, pad: Option<TokenId>) -> Array1<f32> {
    let only_padding = tokens.iter().all(|&token| Some(token) == pad);
    let counts = |token: TokenId| only_padding || Some(token) != pad;
    let (mut sum, mut n) = (Array1::<f64>::zeros(hidden.ncols()), 0.0);
    for (_, row) in tokens.iter().zip(hidden.outer_iter()).filter(|(token, _)| counts(**token)) {
        sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
        n += 1.0;
    }
    sum.mapv(|sum| (sum / n) as f32)
}

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
    if let Some(named) = ids.named {
        vocabulary = vocabulary.with_assigned(named)?;
    }
    Ok(vocabulary)
}
